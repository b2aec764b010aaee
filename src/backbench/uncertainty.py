"""How sure a number is, over test images and seeds: intervals, differences of two cells, and who is tied with the best.

Images are resampled; seeds are few, so what they add is put on top of it at its unbiased size, and the whole interval
is widened as Student's t is for so few of them. `tests/test_coverage.py` holds it to its nominal rate.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from backbench.resampling import Resampled
from backbench.statistics import CONFIDENCE, Interval

SIGNIFICANCE = 1 - CONFIDENCE
# A variance that is the rounding of sums, and no spread.
ROUNDING = 1e-24


@dataclass(frozen=True)
class Difference:
    """First minus second; `p_value` is two-sided, of no difference at all."""

    interval: Interval
    p_value: float


@dataclass(frozen=True)
class PairedComparison:
    """Two cells on the same test images; `adjusted_p_value` holds for all pairs together."""

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
    """Draws of a number around its estimate, and the variances that they have from images and from seeds."""

    estimate: float
    draws: NDArray[np.float64]
    of_images: float
    of_seeds: float
    degrees: float

    @property
    def standard_error(self) -> float:
        return float(np.sqrt(self.of_images + self.of_seeds))


def interval(number: Resampled) -> Interval:
    """Return a number's mean over seeds with its 95 % interval over test images and seeds.

    With one seed there is no spread of seeds to be seen, and the interval is over images alone.

    Source:
        Percentile bootstrap, stretched as in Hesterberg 2015, https://arxiv.org/abs/1411.5279, section 4.
    """
    return _interval(_spread([number], [1.0]))


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
    spread = _spread([first, second], [1.0, -1.0])
    return Difference(_interval(spread), _p_value(spread))


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

    Raises:
        KeyError: the reference is none of the cells.
    """
    others = [name for name in numbers if name != reference]
    found = [difference(numbers[reference], numbers[name]) for name in others]
    adjusted = adjusted_p_values([each.p_value for each in found])
    return [
        PairedComparison(reference, name, each.interval, each.p_value, p_value)
        for name, each, p_value in zip(others, found, adjusted, strict=True)
    ]


def selection_optimism(numbers: Mapping[str, Resampled]) -> float:
    """Return by how much the best of these cells looks better than it is, because these very numbers made it the best.

    In every resample the best cell is picked anew; what it shows there beyond what it shows on the images as they are
    is what picking adds.

    Source:
        Tibshirani and Tibshirani 2009, A bias correction for the minimum error rate in cross-validation,
        https://arxiv.org/abs/0908.2904, with resamples in place of folds.
    """
    shown = np.stack([each.resampled.mean(axis=1) for each in numbers.values()])
    measured = np.array([each.measured.mean() for each in numbers.values()])
    return float(np.mean(shown.max(axis=0) - measured[shown.argmax(axis=0)]))


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


def tied_with(best: str, comparisons: Sequence[PairedComparison]) -> set[str]:
    """Name the best, and every cell that no difference to it is shown of."""
    tied = {pair.first for pair in comparisons if pair.second == best and not pair.is_shown}
    return tied | {pair.second for pair in comparisons if pair.first == best and not pair.is_shown} | {best}


def _spread(numbers: Sequence[Resampled], signs: Sequence[float]) -> _Spread:
    """Add numbers up with their signs: images are shared, seeds are not."""
    means = np.sum([sign * each.resampled.mean(axis=1) for sign, each in zip(signs, numbers, strict=True)], axis=0)
    of_images = float(np.var(means))
    of_seeds = max(0.0, sum(_beyond_images(each) for each in numbers))
    return _Spread(
        estimate=float(sum(sign * each.measured.mean() for sign, each in zip(signs, numbers, strict=True))),
        draws=means + _seed_draws(numbers, of_seeds),
        of_images=of_images,
        of_seeds=of_seeds,
        degrees=_degrees(of_images, of_seeds, numbers),
    )


def _seen(number: Resampled) -> float:
    """Return the variance of the mean over seeds, as the seeds show it."""
    num_seeds = len(number.measured)
    return 0.0 if num_seeds == 1 else float(np.var(number.measured, ddof=1)) / num_seeds


def _beyond_images(number: Resampled) -> float:
    """Return what of that variance images do not explain; by chance it may be below 0.

    Seeds differ on a finite test set even where they are equally good: each is wrong about other images. That part is
    in the resamples already.
    """
    num_seeds = len(number.measured)
    if num_seeds == 1:
        return 0.0
    of_one = float(np.mean(np.var(number.resampled, axis=0)))
    of_mean = float(np.var(number.resampled.mean(axis=1)))
    return _seen(number) - max(0.0, of_one - of_mean) / (num_seeds - 1)


def _seed_draws(numbers: Sequence[Resampled], variance: float) -> NDArray[np.float64]:
    """Draw means of resampled seeds, `(num_resamples,)` around 0, at a variance that is not that of so few seeds."""
    num_resamples = len(numbers[0].resampled)
    random = np.random.default_rng(num_resamples)
    draws, narrow = np.zeros(num_resamples), 0.0
    for each in numbers:
        deviations = each.measured - each.measured.mean()
        chosen = random.integers(0, len(deviations), (num_resamples, len(deviations)))
        draws += deviations[chosen].mean(axis=1)
        narrow += float(np.var(deviations)) / len(deviations)
    return draws * np.sqrt(variance / narrow) if narrow > ROUNDING else np.zeros(num_resamples)


def _degrees(of_images: float, of_seeds: float, numbers: Sequence[Resampled]) -> float:
    """Return the degrees of freedom of a variance that is a sum.

    Source:
        Welch 1947, The generalization of Student's problem when several different population variances are involved:
        a variance of n values counts with n + 1 in place of n - 1, for its square is an overestimate, and 2 go off.
    """
    parts = of_images**2 / (numbers[0].num_images + 1)
    parts += sum(_seen(each) ** 2 / (len(each.measured) + 1) for each in numbers)
    return max(1.0, (of_images + of_seeds) ** 2 / parts - 2) if parts else float("inf")


def _interval(spread: _Spread) -> Interval:
    stretch = stats.t.ppf((1 + CONFIDENCE) / 2, spread.degrees) / stats.norm.ppf((1 + CONFIDENCE) / 2)
    low, high = np.quantile(spread.draws, [SIGNIFICANCE / 2, 1 - SIGNIFICANCE / 2]) - spread.estimate
    return Interval(spread.estimate, spread.estimate + float(low * stretch), spread.estimate + float(high * stretch))


def _p_value(spread: _Spread) -> float:
    if spread.standard_error == 0.0:
        return 1.0 if spread.estimate == 0.0 else 0.0
    return float(2 * stats.t.sf(abs(spread.estimate) / spread.standard_error, spread.degrees))
