"""What one strategy gains over another, and whether LogME ranks backbones as they were measured; how sure that is."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from scipy import stats

from backbench.comparison.conclusions import points, spread
from backbench.comparison.leaderboard import Leaderboard, Row
from backbench.comparison.spread import Interval
from backbench.comparison.uncertainty import SIGNIFICANCE, adjusted_p_values, difference

P_VALUE_DIGITS = 4
FEATURE_EXTRACTION = "feature_extraction"


@dataclass(frozen=True)
class StrategyEffect:
    """What one strategy gains over another on the same backbone, in test accuracy.

    `p_value` is adjusted for all of these questions together, one per backbone and pair of strategies, `num_questions`.
    """

    backbone: str
    strategy: str
    over: str
    gain: Interval
    p_value: float
    num_questions: int

    @property
    def is_significant(self) -> bool:
        return self.p_value < SIGNIFICANCE

    @property
    def words(self) -> str:
        by = f"{points(abs(self.gain.estimate))}{spread(self.gain)}"
        if self.is_significant:
            return f"{self.strategy} {'gains' if self.gain.estimate > 0 else 'loses'} {by} over {self.over}"
        if self.gain.low <= 0.0 <= self.gain.high:
            return f"{self.strategy} and {self.over} are not significantly different{spread(self.gain)}"
        seems = "gain" if self.gain.estimate > 0 else "lose"
        return f"{self.strategy} seems to {seems} {by} over {self.over}, too little for {self.num_questions} at once"


def strategy_effects(leaderboard: Leaderboard) -> list[StrategyEffect]:
    """Compare the strategies of every backbone, in the order of the leaderboard's backbones."""
    by_backbone: dict[str, list[Row]] = {}
    for row in leaderboard.rows:
        by_backbone.setdefault(row.backbone, []).append(row)
    # Feature extraction is what others are held against.
    ordered = [
        sorted(rows, key=lambda row: (row.strategy != FEATURE_EXTRACTION, row.strategy))
        for rows in by_backbone.values()
    ]
    asked = [pair for rows in ordered for pair in combinations(rows, 2)]
    gains = [difference(row.resampled, over.resampled) for over, row in asked]
    adjusted = adjusted_p_values([gain.p_value for gain in gains])
    return [
        StrategyEffect(row.backbone, row.strategy, over.strategy, gain.interval, rounded(p_value), len(asked))
        for (over, row), gain, p_value in zip(asked, gains, adjusted, strict=True)
    ]


def rounded(p_value: float) -> float:
    """Keep the digits of a p-value that mean something."""
    return float(np.format_float_positional(p_value, P_VALUE_DIGITS, unique=False, fractional=False))


@dataclass(frozen=True)
class PredictedRank:
    """A backbone's LogME beside the test accuracy of feature extraction; rank 1 is the best, equals share a rank."""

    backbone: str
    logme: float
    test_accuracy: float
    predicted_rank: int
    measured_rank: int


@dataclass(frozen=True)
class Transferability:
    """The backbones in the order of LogME, and how that agrees with what was measured; None of fewer than three.

    `p_value` is how often orders drawn at random agree or disagree as strongly by Kendall's correlation.
    """

    backbones: tuple[PredictedRank, ...]
    spearman: float | None = None
    kendall: float | None = None
    p_value: float | None = None

    @property
    def words(self) -> str:
        num_backbones = len(self.backbones)
        if self.spearman is None or self.kendall is None or self.p_value is None:
            return f"A rank correlation needs at least three backbones that differ; here are {num_backbones}."
        verdict = f"With {num_backbones} backbones, orders drawn at random agree or disagree as strongly in "
        verdict += f"{_percent(self.p_value)} of cases"
        if self.p_value < SIGNIFICANCE:
            verdict += ", so chance is no likely reason."
            verdict += " LogME predicted the order." if self.kendall > 0 else " LogME predicted the opposite order."
        else:
            verdict += ": too few, or too mixed, to say whether LogME predicts the order here."
        return f"Rank correlation: Spearman {self.spearman:+.2f}, Kendall {self.kendall:+.2f}. {verdict}"


def _percent(share: float) -> str:
    return "less than 0.1 %" if share < 0.001 else f"{100 * share:.1f} %" if share < 0.1 else f"{100 * share:.0f} %"


def transferability(rows: Sequence[Row]) -> Transferability:
    """Hold LogME against the accuracy of feature extraction, or of the one strategy there is.

    Source:
        Rank correlations: Spearman 1904 and Kendall 1938; `scipy.stats`.
    """
    found: dict[str, tuple[float, float]] = {}
    for row in sorted(rows, key=lambda row: row.strategy != FEATURE_EXTRACTION):
        if row.metrics.logme is not None:
            found.setdefault(row.backbone, (row.metrics.logme, row.test_accuracy))
    ordered = sorted(found.items(), key=lambda item: -item[1][0])
    predicted, measured = [each for _, (each, _) in ordered], [each for _, (_, each) in ordered]
    ranks = [stats.rankdata([-each for each in of_each], method="min") for of_each in (predicted, measured)]
    backbones = tuple(
        PredictedRank(backbone, logme, accuracy, int(first), int(second))
        for (backbone, (logme, accuracy)), first, second in zip(ordered, *ranks, strict=True)
    )
    if len(set(predicted)) < 3 or len(set(measured)) < 2:
        return Transferability(backbones)
    spearman, kendall = stats.spearmanr(predicted, measured), stats.kendalltau(predicted, measured)
    return Transferability(
        backbones, round(float(spearman.statistic), 6), round(float(kendall.statistic), 6), float(kendall.pvalue)
    )
