"""An interval, and mean and spread over seeds; `uncertainty` has the intervals over images and seeds."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Interval:
    """An estimate and the ends of its 95 % interval."""

    estimate: float
    low: float
    high: float

    @property
    def includes_zero(self) -> bool:
        return self.low <= 0.0 <= self.high


def mean_over_seeds(per_seed: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Average every metric over seeds; the keys are those of the first seed."""
    return {key: float(np.mean([metrics[key] for metrics in per_seed])) for key in per_seed[0]}


def sd_over_seeds(per_seed: Sequence[Mapping[str, float]]) -> dict[str, float | None]:
    """Sample standard deviation (ddof 1) of every metric over seeds; None where there is one seed only."""
    if len(per_seed) == 1:
        return dict.fromkeys(per_seed[0])
    return {key: float(np.std([metrics[key] for metrics in per_seed], ddof=1)) for key in per_seed[0]}
