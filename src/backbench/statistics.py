"""How sure a number is: spread over seeds, and bootstrap intervals over test images."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

NUM_RESAMPLES = 2000
BLOCK_DRAWS = 1 << 21
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


def _resampled_means(values: NDArray[np.float64], *, seed: int, num_resamples: int) -> NDArray[np.float64]:
    """Draw n of n values with replacement, `num_resamples` times, in blocks that bound the memory.

    The draws depend on the seed and n alone, not on the values.
    """
    random = np.random.default_rng(seed)
    rows = max(1, BLOCK_DRAWS // len(values))
    sizes = [min(rows, num_resamples - start) for start in range(0, num_resamples, rows)]
    blocks = [values[random.integers(0, len(values), (size, len(values)))].mean(axis=1) for size in sizes]
    return np.concatenate(blocks)


def bootstrap_mean(values: NDArray[np.floating], *, seed: int = 0, num_resamples: int = NUM_RESAMPLES) -> Interval:
    """Percentile bootstrap of a mean over test images.

    Args:
        values: float `(num_images,)`, such as the share of seeds that were right about each image.
        seed: Draws the resamples.
        num_resamples: Resamples drawn.

    Raises:
        ValueError: `values` is empty or not of rank 1.

    Source:
        Efron and Tibshirani 1993, An Introduction to the Bootstrap, chapter 13.
    """
    if values.ndim != 1 or not values.size:
        raise ValueError(f"expected at least one value in one dimension, found shape {values.shape}")
    exact = values.astype(np.float64)
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(_resampled_means(exact, seed=seed, num_resamples=num_resamples), [tail, 1 - tail])
    return Interval(float(exact.mean()), float(low), float(high))


def paired_difference(
    first: NDArray[np.floating],
    second: NDArray[np.floating],
    *,
    seed: int = 0,
    num_resamples: int = NUM_RESAMPLES,
) -> Interval:
    """Bootstrap of the mean difference of two cells over the same test images.

    Every resample takes the same images of both, so what is hard for both cancels.

    Args:
        first: float `(num_images,)`, the share of seeds that were right about each image.
        second: The same for the other cell, in the same order of images.
        seed: Draws the resamples.
        num_resamples: Resamples drawn.

    Returns:
        `first` minus `second`; the interval excludes 0 where a difference is shown.

    Raises:
        ValueError: the two do not have the same images.
    """
    if first.shape != second.shape:
        raise ValueError(f"expected both cells over the same images, found {first.shape} and {second.shape}")
    return bootstrap_mean(first - second, seed=seed, num_resamples=num_resamples)
