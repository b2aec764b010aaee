"""What one strategy gains over another, per backbone, with how sure that is."""

from dataclasses import dataclass
from itertools import combinations

import numpy as np

from backbench.comparison.conclusions import points, spread
from backbench.comparison.leaderboard import Leaderboard, Row
from backbench.comparison.predicted_ranks import FEATURE_EXTRACTION
from backbench.comparison.uncertainty import SIGNIFICANCE, adjusted_p_values, difference
from backbench.evaluation.statistics import Interval

P_VALUE_DIGITS = 4


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
        if self.gain.includes_zero:
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
