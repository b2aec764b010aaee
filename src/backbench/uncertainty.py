"""How sure a number is, over test images and seeds: intervals, differences of two cells, and who differs from one.

Images are resampled; seeds are few, so what they add is put on top of it at its unbiased size, and the whole interval
is widened as Student's t is for so few of them. A share is bounded, and where nearly every image is right the images
at hand show too little spread: then it counts what other images could do. `tests/test_coverage.py` holds all of it to
its nominal rate.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray
from scipy import special

from backbench.resampling import Resampled
from backbench.statistics import CONFIDENCE, Interval

SIGNIFICANCE = 1 - CONFIDENCE
ENDS = (SIGNIFICANCE / 2, 1 - SIGNIFICANCE / 2)
# How much noise of its own the choice of the best is given, in units of the noise that is there.
COUPLING = 0.7

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Difference:
    """First minus second; `p_value` is two-sided, of no difference at all."""

    interval: Interval
    p_value: float


@dataclass(frozen=True)
class PairedComparison:
    """Two cells on the same test images; `adjusted_p_value` holds for all that were compared together."""

    first: str
    second: str
    difference: Interval
    p_value: float
    adjusted_p_value: float

    @property
    def is_shown(self) -> bool:
        return self.adjusted_p_value < SIGNIFICANCE


@dataclass(frozen=True)
class _Spread:
    """An estimate, the variances that it has from images and from seeds, and the degrees of freedom of their sum."""

    estimate: float
    of_images: float
    of_seeds: float
    degrees: float

    @property
    def variance(self) -> float:
        return self.of_images + self.of_seeds

    @property
    def standard_error(self) -> float:
        return float(np.sqrt(self.variance))

    @property
    def quantile(self) -> float:
        """How many standard errors lie on each side of a 95 % interval."""
        return float(special.stdtrit(self.degrees, ENDS[1]))


def interval(number: Resampled) -> Interval:
    """Return a number's mean over seeds with its 95 % interval over test images and seeds.

    With one seed there is no spread of seeds to be seen, and the interval is over images alone.

    Source:
        A share: Jeffreys's interval, modified near 0 and 1 as in Brown, Cai and DasGupta 2001, Interval Estimation for
        a Binomial Proportion, of as many independent images as have the same variance: Korn and Graubard 1998,
        Confidence Intervals for Proportions With Small Expected Number of Positive Counts Estimated From Survey Data.
        Other numbers: percentile bootstrap, stretched as in Hesterberg 2015, https://arxiv.org/abs/1411.5279.
    """
    return _percentile_interval(number) if number.share_of is None else _share_interval(number, number.share_of)


def _share_interval(number: Resampled, num_images: float) -> Interval:
    # Jeffreys's prior: half an image more that is right, and half a one that is wrong.
    center, of_image = _with_unseen(number.mean, float(np.var(number.means)), num_images, (0.5, 1.0), (0.5, 0.0))
    spread = _spread(number.mean, of_image / num_images, [number])
    of_images_alone = special.stdtrit(number.num_images - 1, ENDS[1])
    effective = center * (1 - center) / spread.variance * min(1.0, of_images_alone / spread.quantile) ** 2
    right, wrong = effective * number.mean, effective * (1 - number.mean)
    low, high = special.betaincinv(right + 0.5, wrong + 0.5, ENDS)
    # What is possible where every image is right is so where one is wrong.
    every_right = ENDS[0] ** (1 / num_images)
    low = 0.0 if right <= 1 else min(low, every_right)
    high = 1.0 if wrong <= 1 else max(high, 1 - every_right)
    return Interval(number.mean, float(low), float(high))


def _percentile_interval(number: Resampled) -> Interval:
    spread = _spread(number.mean, float(np.var(number.means)), [number])
    draws = number.means + np.sqrt(spread.of_seeds) * _normal(number.means.shape)
    stretch = spread.quantile / special.ndtri(ENDS[1])
    low, high = number.mean + stretch * (np.quantile(draws, ENDS) - number.mean)
    return Interval(number.mean, float(low), float(high))


def difference(first: Resampled, second: Resampled) -> Difference:
    """Compare two cells on the same test images, so that what is hard for both cancels; seeds are each cell's own.

    Two shares that agree on every image may differ on others, so two images more are counted, each right for one alone.

    Raises:
        ValueError: the two are not of the same images.

    Source:
        Bonett and Price 2012, Adjusted Wald Confidence Interval for a Difference of Binomial Proportions Based on
        Paired Data; Welch's degrees of freedom in place of the normal distribution, for the seeds.
    """
    if first.num_images != second.num_images or len(first.resampled) != len(second.resampled):
        raise ValueError(
            f"expected both cells over the same resamples, found {first.resampled.shape} of {first.num_images} images "
            f"and {second.resampled.shape} of {second.num_images}"
        )
    spread = _difference(first, second)
    half = spread.quantile * spread.standard_error
    return Difference(
        Interval(first.mean - second.mean, spread.estimate - half, spread.estimate + half), _p_value(spread)
    )


def compare_all(numbers: Mapping[str, Resampled]) -> list[PairedComparison]:
    """Compare every two cells; p-values are adjusted for all pairs by Holm's method."""
    pairs = list(combinations(numbers, 2))
    found = [difference(numbers[first], numbers[second]) for first, second in pairs]
    adjusted = adjusted_p_values([each.p_value for each in found])
    return [
        PairedComparison(first, second, each.interval, each.p_value, p_value)
        for (first, second), each, p_value in zip(pairs, found, adjusted, strict=True)
    ]


def compare_with(reference: str, numbers: Mapping[str, Resampled]) -> list[PairedComparison]:
    """Compare a cell, chosen without looking at these numbers, with every other; p-values are adjusted for these alone.

    All differences share the reference's images and seeds, so the largest of them is smaller than that of independent
    ones: its distribution is drawn, and whoever Holm's method shows a difference of, this shows one of too.

    Raises:
        KeyError: the reference is none of the cells.

    Source:
        Westfall and Young 1993, Resampling-Based Multiple Testing, algorithm 2.8 (step-down minP).
    """
    others = [name for name in numbers if name != reference]
    found = [difference(numbers[reference], numbers[name]) for name in others]
    noise = _noise(numbers).T
    deviations = noise[list(numbers).index(reference)] - noise[[name != reference for name in numbers]]
    adjusted = _jointly_adjusted([each.p_value for each in found], deviations.T)
    return [
        PairedComparison(reference, name, each.interval, each.p_value, p_value)
        for name, each, p_value in zip(others, found, adjusted, strict=True)
    ]


def adjusted_p_values(p_values: Sequence[float]) -> list[float]:
    """Adjust p-values of questions that are asked together, in their order.

    As `multipletests` of statsmodels does, which collects all garbage at every call: seconds, where models are alive.

    Source:
        Holm 1979, A simple sequentially rejective multiple test procedure.
    """
    order = np.argsort(p_values, kind="stable")
    adjusted = np.empty(len(p_values))
    adjusted[order] = np.maximum.accumulate(np.asarray(p_values)[order] * np.arange(len(p_values), 0, -1))
    return [float(each) for each in np.minimum(adjusted, 1.0)]


def _jointly_adjusted(p_values: Sequence[float], deviations: Floats) -> list[float]:
    """Adjust p-values by how often a smaller one comes up in `deviations`, `(num_draws, num_questions)` around 0."""
    ordered = np.argsort(p_values, kind="stable")
    spread = deviations.std(axis=0)
    sizes = np.divide(np.abs(deviations), spread, out=np.zeros_like(deviations), where=spread > 0)[:, ordered]
    largest_left = np.maximum.accumulate(sizes[:, ::-1], axis=1)[:, ::-1]
    found = np.asarray(p_values)[ordered]
    as_large = np.sum(largest_left >= -special.ndtri(found / 2), axis=0)
    # Draws see no chance smaller than one in their number; Holm's bound does.
    joint = np.minimum((1 + as_large) / (1 + len(deviations)), found * np.arange(len(found), 0, -1))
    adjusted = np.empty(len(found))
    adjusted[ordered] = np.minimum(np.maximum.accumulate(joint), 1.0)
    return [float(each) for each in adjusted]


def selection_optimism(numbers: Mapping[str, Resampled]) -> float:
    """Estimate by how much the measured number of the highest cell is above its true one, because it was picked.

    Noise is added to what was measured, the highest is picked, and what of its noise was picked with it is averaged.

    Source:
        Oliveira, Lei and Tibshirani 2021, Unbiased Risk Estimation in the Normal Means Problem via Coupled Bootstrap
        Techniques, https://arxiv.org/abs/2111.09447.
    """
    measured = np.array([each.mean for each in numbers.values()])
    noise = _noise(numbers)
    picked = np.argmax(measured + COUPLING * noise, axis=1)
    with_it = float(np.mean(noise[np.arange(len(noise)), picked]))
    return max(0.0, with_it * float(np.sqrt(1 + COUPLING**2)) / COUPLING)


def tied_with(best: str, comparisons: Sequence[PairedComparison]) -> set[str]:
    """Name the best, and every cell that no difference to it is shown of."""
    tied = {pair.first for pair in comparisons if pair.second == best and not pair.is_shown}
    return tied | {pair.second for pair in comparisons if pair.first == best and not pair.is_shown} | {best}


def _noise(numbers: Mapping[str, Resampled]) -> Floats:
    """Draw how far each cell's mean is off, `(num_resamples, num_cells)`: images are shared, seeds are each cell's."""
    of_images = np.stack([each.means for each in numbers.values()], axis=1)
    beyond = np.array([each.variance_beyond_images for each in numbers.values()])
    # Cut at 0 one by one they would be too large together.
    of_seeds = np.maximum(beyond, 0.0)
    if of_seeds.any():
        of_seeds *= max(0.0, float(beyond.sum())) / of_seeds.sum()
    noise = of_images + np.sqrt(of_seeds) * _normal(of_images.shape)
    return np.asarray(noise - noise.mean(axis=0))


def _normal(shape: tuple[int, ...]) -> Floats:
    return np.random.default_rng(shape).normal(size=shape)


def _with_unseen(
    mean: float, variance: float, num_images: float, *unseen: tuple[float, float]
) -> tuple[float, float]:
    """Return mean and variance of one image, given those of the mean of `num_images`, and images more: number, value."""
    total = num_images + sum(number for number, _ in unseen)
    center = (num_images * mean + sum(number * value for number, value in unseen)) / total
    squares = num_images * (num_images * variance + mean**2) + sum(number * value**2 for number, value in unseen)
    return center, squares / total - center**2


def _difference(first: Resampled, second: Resampled) -> _Spread:
    estimate, of_images = first.mean - second.mean, float(np.var(first.means - second.means))
    if first.share_of is not None:
        estimate, of_image = _with_unseen(estimate, of_images, first.share_of, (1.0, 1.0), (1.0, -1.0))
        of_images = of_image / (first.share_of + 2)
    return _spread(estimate, of_images, [first, second])


def _spread(estimate: float, of_images: float, numbers: Sequence[Resampled]) -> _Spread:
    """Add up variances.

    Source:
        Satterthwaite 1946, An Approximate Distribution of Estimates of Variance Components. Welch's formula of 1947, with
        n + 1 in place of n - 1 and 2 off the sum, shows false differences where seeds are few and differ much.
    """
    of_seeds = max(0.0, sum(each.variance_beyond_images for each in numbers))
    parts = of_images**2 / (numbers[0].num_images - 1)
    parts += sum(each.variance_seen**2 / (each.num_seeds - 1) for each in numbers if each.num_seeds > 1)
    degrees = (of_images + of_seeds) ** 2 / parts if parts else float("inf")
    return _Spread(estimate, of_images, of_seeds, degrees)


def _p_value(spread: _Spread) -> float:
    if spread.variance == 0.0:
        return 1.0 if spread.estimate == 0.0 else 0.0
    return float(2 * special.stdtr(spread.degrees, -abs(spread.estimate) / spread.standard_error))
