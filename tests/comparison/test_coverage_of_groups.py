"""Where images of a group are hard together, intervals that draw groups cover the truth, and those of images do not.

`python -m tests.comparison.test_coverage_of_groups` prints the rates, as docs/uncertainty.md shows them.
"""

from collections.abc import Iterator
from functools import cache

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from backbench.comparison.uncertainty import difference, interval
from tests.support.known_truth import counts_of, drawn_cells, measured, measured_in_groups, seed_effects

ACCURACIES = (0.85, 0.95)
# Numbers of groups and, on average, of images in each.
NUMBERS = ((10, 10), (20, 10), (40, 5), (100, 5))
AGREEMENT = 0.9
# In so many repeats a rate of 95 % is off by 1.1 points by chance.
NUM_REPEATS, NUM_RESAMPLES = 400, 500


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    with threadpool_limits(1):
        yield


def groups_of(num_groups: int, num_images: int, *, are_even: bool) -> np.ndarray:
    """Return the group of each image; uneven ones have from two images to several times the mean."""
    sizes = np.full(num_groups, num_images)
    if not are_even:
        sizes = 1 + np.random.default_rng(0).geometric(1 / num_images, size=num_groups)
    return np.repeat(np.arange(num_groups), sizes)


@cache
def rates(accuracy: float, num_groups: int, num_images: int, are_even: bool) -> tuple[float, float, float]:
    """Return how often intervals cover: of an accuracy by images and by groups, of a difference of equals by groups.

    Three seeds nearly agree, and half of what makes an image hard its group has in common.
    """
    groups = groups_of(num_groups, num_images, are_even=are_even)
    counts, covered = counts_of(len(groups), NUM_RESAMPLES), np.zeros(3)
    random = np.random.default_rng(num_groups)
    for _ in range(NUM_REPEATS):
        pair = drawn_cells(
            random, [accuracy] * 2, np.zeros((2, 3)), len(groups), agreement=AGREEMENT, sd_of_seeds=0, groups=groups
        )
        first, second = (measured_in_groups(cell, groups, NUM_RESAMPLES) for cell in pair)
        by_images, by_groups = interval(measured(pair[0], counts)), interval(first)
        between = difference(first, second).interval
        covered += (
            by_images.low <= accuracy <= by_images.high,
            by_groups.low <= accuracy <= by_groups.high,
            between.low <= 0 <= between.high,
        )
    return tuple(covered / NUM_REPEATS)


@pytest.mark.parametrize("are_even", [True, False], ids=["even", "uneven"])
@pytest.mark.parametrize(("num_groups", "num_images"), NUMBERS)
@pytest.mark.parametrize("accuracy", ACCURACIES)
def test_groups_that_are_drawn_cover_what_images_do_not(
    accuracy: float, num_groups: int, num_images: int, are_even: bool
) -> None:
    by_images, by_groups, of_difference = rates(accuracy, num_groups, num_images, are_even)
    assert by_images < 0.9, "the fault that drawing groups is for"
    assert by_groups >= 0.91
    assert of_difference >= 0.94


def test_groups_that_have_nothing_in_common_cost_little() -> None:
    groups, widths = groups_of(100, 5, are_even=True), []
    counts = counts_of(len(groups), NUM_RESAMPLES)
    random = np.random.default_rng(0)
    for effects in seed_effects(random, 40, 3, 0)[:, None]:
        (cell,) = drawn_cells(random, [0.85], effects, len(groups), agreement=AGREEMENT, groups=groups, within=0)
        both = (interval(each) for each in (measured(cell, counts), measured_in_groups(cell, groups, NUM_RESAMPLES)))
        widths.append([each.high - each.low for each in both])
    by_images, by_groups = np.mean(widths, axis=0)
    assert by_images < by_groups < 1.15 * by_images


def print_rates() -> None:
    print("| accuracy | groups | images | by images | by groups | a difference, by groups |\n|---|---|---|---|---|---|")
    for accuracy in ACCURACIES:
        for are_even in (True, False):
            for numbers in NUMBERS:
                what = f"{numbers[0]}, {'even' if are_even else 'uneven'}"
                found = rates(accuracy, *numbers, are_even)
                num_images = len(groups_of(*numbers, are_even=are_even))
                print(f"| {accuracy:.2f} | {what} | {num_images} |", " | ".join(f"{each:.1%}" for each in found), "|")


if __name__ == "__main__":
    with threadpool_limits(1):
        print_rates()
