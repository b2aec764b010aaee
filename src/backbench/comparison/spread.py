"""How far a mean over test images and seeds may be off: the variance of either, and what they are together."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import special

from backbench.comparison.resampling import Resampled

CONFIDENCE = 0.95
ENDS = ((1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2)


@dataclass(frozen=True)
class Interval:
    """An estimate and the ends of its 95 % interval."""

    estimate: float
    low: float
    high: float


@dataclass(frozen=True)
class Spread:
    """An estimate, the variances that it has from images and from seeds, and the degrees of freedom of their sum."""

    estimate: float
    of_images: float
    of_seeds: float
    degrees: float

    @property
    def variance(self) -> float:
        return self.of_images + self.of_seeds

    @property
    def quantile(self) -> float:
        """How many standard errors lie on either side of the estimate in its 95 % interval."""
        return float(special.stdtrit(self.degrees, ENDS[1]))

    @property
    def half_width(self) -> float:
        return self.quantile * float(np.sqrt(self.variance))

    @property
    def p_value(self) -> float:
        """The two-sided p-value of 0."""
        if self.variance == 0.0:
            return 1.0 if self.estimate == 0.0 else 0.0
        return float(2 * special.stdtr(self.degrees, -abs(self.estimate) / np.sqrt(self.variance)))


def spread_of_number(number: Resampled) -> Spread:
    """Return the spread of a number that is no share, as resampled images and the seeds show it."""
    return _with_seeds(number.mean, float(np.var(number.means)), [number])


def spread_of_share(number: Resampled, num_images: float) -> Spread:
    """Return the spread of a share of `num_images`, if one image more were half right and half wrong.

    That is the prior of Jeffreys's interval, and where no image is wrong all of the variance. The estimate has it too.
    """
    center, of_image = _with_more(number.mean, float(np.var(number.means)), num_images, [(0.5, 1.0), (0.5, 0.0)])
    return _with_seeds(center, of_image / num_images, [number])


def spread_of_difference(first: Resampled, second: Resampled) -> Spread:
    """Return the spread of first minus second; images are shared, seeds are each one's own.

    Two shares are counted with two images more, each right for one alone, for shares that agree on every image may
    differ on others.

    Source:
        Bonett and Price 2012, Adjusted Wald Confidence Interval for a Difference of Binomial Proportions Based on
        Paired Data.
    """
    estimate, of_images = first.mean - second.mean, float(np.var(first.means - second.means))
    num_images = first.difference_of
    if num_images is not None:
        estimate, of_image = _with_more(estimate, of_images, num_images, [(1.0, 1.0), (1.0, -1.0)])
        of_images = of_image / (num_images + 2)
    return _with_seeds(estimate, of_images, [first, second])


def _with_more(
    mean: float, variance_of_mean: float, num_images: float, more: Sequence[tuple[float, float]]
) -> tuple[float, float]:
    """Return mean and variance of one image's value, with more images than there are: how many, and their value."""
    total = num_images + sum(number for number, _ in more)
    center = (num_images * mean + sum(number * value for number, value in more)) / total
    squares = num_images * (num_images * variance_of_mean + mean**2) + sum(number * value**2 for number, value in more)
    return center, squares / total - center**2


def _with_seeds(estimate: float, of_images: float, numbers: Sequence[Resampled]) -> Spread:
    """Put what seeds add on top of what images do.

    Source:
        Satterthwaite 1946, An Approximate Distribution of Estimates of Variance Components. Welch's formula of 1947
        (n + 1 in place of n - 1, and 2 off the whole) shows false differences where few seeds differ much.
    """
    of_seeds = max(0.0, sum(each.variance_beyond_images for each in numbers))
    # What folds inflate is known no better for it: with more degrees of freedom an interval could come out narrower.
    alone = of_images / numbers[0].inflation
    parts = alone**2 / (numbers[0].num_independent - 1)
    parts += sum(each.variance_seen**2 / (each.num_seeds - 1) for each in numbers if each.num_seeds > 1)
    return Spread(estimate, of_images, of_seeds, (alone + of_seeds) ** 2 / parts if parts else float("inf"))
