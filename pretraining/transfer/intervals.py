"""How sure a mean over seeds is: Student's t interval, plain or of differences paired by seed."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
from scipy import stats

from backbench.comparison.spread import CONFIDENCE, Interval


def t_interval(values: Sequence[float]) -> Interval:
    """Return the mean of independent values and its 95 % interval, unbounded where there is one value only.

    Raises:
        ValueError: there is no value.

    Source:
        Student 1908, The Probable Error of a Mean; `scipy.stats.t`.
    """
    if not values:
        raise ValueError("expected at least one value, found none")
    mean = float(np.mean(values))
    if len(values) == 1:
        return Interval(mean, -math.inf, math.inf)
    standard_error = float(np.std(values, ddof=1)) / math.sqrt(len(values))
    half = float(stats.t.ppf((1 + CONFIDENCE) / 2, len(values) - 1)) * standard_error
    return Interval(mean, mean - half, mean + half)


def paired_t_interval(first: Mapping[int, float], second: Mapping[int, float]) -> Interval:
    """Return the mean of `first` minus `second` over the seeds that both have, with its interval.

    A seed draws the same images for both, so what is hard for both cancels.

    Raises:
        ValueError: they have no seed in common.
    """
    return t_interval([first[seed] - second[seed] for seed in sorted(first.keys() & second.keys())])
