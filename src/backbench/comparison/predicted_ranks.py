"""How LogME ranks the backbones beside what was measured, and how far to trust it, in words."""

from collections.abc import Sequence
from dataclasses import dataclass

from scipy import stats

from backbench.comparison.leaderboard import Row
from backbench.comparison.uncertainty import SIGNIFICANCE

FEATURE_EXTRACTION = "feature_extraction"


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
