"""How sure a number is, over test images and seeds: intervals, differences of two cells, and who differs from a third.

Images are resampled; seeds are few, so what they add is put on top of it at its unbiased size, and the whole interval
is widened as Student's t is for so few of them. Where nearly every image is right, a share counts what images that are
not there could show. `tests/comparison/test_coverage.py` holds all of it to its nominal rate.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special

from backbench.comparison.resampling import Resampled
from backbench.comparison.spread import (
    CONFIDENCE,
    ENDS,
    Interval,
    spread_of_difference,
    spread_of_number,
    spread_of_share,
)

SIGNIFICANCE = 1 - CONFIDENCE
# How much noise is added before the highest is picked, in units of the noise that is there.
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
    def is_significant(self) -> bool:
        return self.adjusted_p_value < SIGNIFICANCE


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
    spread = spread_of_share(number, num_images)
    of_images_alone = special.stdtrit(number.num_independent - 1, ENDS[1])
    effective = spread.estimate * (1 - spread.estimate) / spread.variance
    effective *= min(1.0, of_images_alone / spread.quantile) ** 2
    right, wrong = effective * number.mean, effective * (1 - number.mean)
    low, high = special.betaincinv(right + 0.5, wrong + 0.5, ENDS)
    # What may be where every image is right may be where one is wrong.
    every_right = ENDS[0] ** (1 / num_images)
    low = 0.0 if right <= 1 else min(low, every_right)
    high = 1.0 if wrong <= 1 else max(high, 1 - every_right)
    return Interval(number.mean, float(low), float(high))


def _percentile_interval(number: Resampled) -> Interval:
    spread = spread_of_number(number)
    draws = number.means + np.sqrt(spread.of_seeds) * _normal(number.means.shape)
    stretch = spread.quantile / special.ndtri(ENDS[1])
    low, high = number.mean + stretch * (np.quantile(draws, ENDS) - number.mean)
    return Interval(number.mean, float(low), float(high))


def difference(first: Resampled, second: Resampled) -> Difference:
    """Compare two cells on the same test images, so that what is hard for both cancels; seeds are each cell's own.

    Raises:
        ValueError: the two are not of the same images.
    """
    if first.num_images != second.num_images or len(first.resampled) != len(second.resampled):
        raise ValueError(
            f"expected both cells over the same resamples, found {first.resampled.shape} of {first.num_images} images "
            f"and {second.resampled.shape} of {second.num_images}"
        )
    spread = spread_of_difference(first, second)
    low, high = spread.estimate - spread.half_width, spread.estimate + spread.half_width
    return Difference(Interval(first.mean - second.mean, low, high), spread.p_value)


def compare_with(reference: str, numbers: Mapping[str, Resampled]) -> list[PairedComparison]:
    """Compare a cell, chosen without looking at these numbers, with every other; p-values are adjusted for these alone.

    All differences share the reference's images and seeds, so the largest of them is smaller than that of independent
    ones: its distribution is drawn, and whatever is significant by Holm's method is so by this one too.

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


def may_be_best(numbers: Mapping[str, Resampled]) -> set[str]:
    """Name the cells that no other is significantly better than: the truly best is among them in 95 % of benchmarks.

    This needs no cell that was chosen elsewhere. Comparing all with the best on these very images would: of ten equal
    cells it finds one significantly worse in every tenth benchmark.

    Source:
        Hsu 1996, Multiple Comparisons: Theory and Methods, chapter 4 (comparison with the best).
    """
    pairs = {name: compare_with(name, numbers) for name in numbers}
    return {
        name
        for name, of_name in pairs.items()
        if not any(each.is_significant and each.difference.estimate < 0 for each in of_name)
    }


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
    # Draws see no chance smaller than one in their number, but it lies between that of one question and Holm's bound.
    joint = np.clip((1 + as_large) / (1 + len(deviations)), found, found * np.arange(len(found), 0, -1))
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
