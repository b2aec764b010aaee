"""On benchmarks whose truth is known, intervals cover it as often as they say, and the tie holds the best.

Three cells of three seeds on 600 images: two equally good, one better by 2 points. An image is hard for all cells
alike in part, and a seed makes a model better or worse everywhere.
"""

from collections import Counter

import numpy as np
import pytest
from scipy import stats
from threadpoolctl import threadpool_limits

from backbench.resampling import Resampled, image_counts
from backbench.uncertainty import compare_all, interval, tied_with

TRUTH = {"equal": 0.85, "equal too": 0.85, "better": 0.87}
NUM_REPEATS, NUM_IMAGES, NUM_SEEDS, NUM_RESAMPLES = 200, 600, 3, 1000
SD_OF_IMAGES, SHARED, SD_OF_SEEDS = 1.0, 0.8, 0.05


def drawn_table(random: np.random.Generator, accuracy: float, difficulty: np.ndarray) -> np.ndarray:
    """Draw right and wrong, float64 `(num_seeds, num_images)`, of a cell whose expected accuracy is known.

    A probit model: its marginal accuracy is the normal distribution function at the mean over the total deviation.
    """
    own = np.sqrt(SHARED) * difficulty + np.sqrt(1 - SHARED) * random.normal(size=NUM_IMAGES)
    mean = stats.norm.ppf(accuracy) * np.sqrt(1 + SD_OF_IMAGES**2 + SD_OF_SEEDS**2)
    seeds = SD_OF_SEEDS * random.normal(size=(NUM_SEEDS, 1))
    return (mean + SD_OF_IMAGES * own + seeds + random.normal(size=(NUM_SEEDS, NUM_IMAGES)) > 0).astype(np.float64)


@pytest.fixture(scope="module")
def covered() -> Counter[str]:
    """How many of the repeats each statement was true in."""
    with threadpool_limits(1):  # products this small are slower on several
        return counted(np.concatenate(list(image_counts(NUM_IMAGES, NUM_RESAMPLES))))


def counted(counts: np.ndarray) -> Counter[str]:
    found: Counter[str] = Counter()
    for repeat in range(NUM_REPEATS):
        random = np.random.default_rng(repeat)
        difficulty = random.normal(size=NUM_IMAGES)
        tables = {name: drawn_table(random, accuracy, difficulty) for name, accuracy in TRUTH.items()}
        numbers = {
            name: Resampled(table.mean(axis=1), counts @ table.T / NUM_IMAGES, NUM_IMAGES)
            for name, table in tables.items()
        }
        for name, number in numbers.items():
            of_cell = interval(number)
            found[name] += of_cell.low <= TRUTH[name] <= of_cell.high
        pairs = compare_all(numbers)
        for pair in pairs:
            truth = TRUTH[pair.first] - TRUTH[pair.second]
            found[f"{pair.first} - {pair.second}"] += pair.difference.low <= truth <= pair.difference.high
        best = max(numbers, key=lambda name: numbers[name].measured.mean())
        found["the tie holds the best"] += "better" in tied_with(best, pairs)
        found["a false difference is shown"] += any(
            pair.is_shown for pair in pairs if TRUTH[pair.first] == TRUTH[pair.second]
        )
    return found


ACCURACIES = tuple(TRUTH)
DIFFERENCES = ("equal - equal too", "equal - better", "equal too - better")


@pytest.mark.parametrize("of_kind", [ACCURACIES, DIFFERENCES], ids=["accuracies", "differences"])
def test_intervals_cover_the_truth_at_their_nominal_rate(of_kind: tuple[str, ...], covered: Counter[str]) -> None:
    """Three of a kind together: one alone, 200 times, is off by 3 points by chance once in twenty times."""
    rates = [covered[what] / NUM_REPEATS for what in of_kind]
    assert abs(np.mean(rates) - 0.95) <= 0.03, covered
    assert all(abs(rate - 0.95) <= 0.05 for rate in rates), covered


def test_the_tie_holds_the_truly_best(covered: Counter[str]) -> None:
    assert covered["the tie holds the best"] / NUM_REPEATS >= 0.97, covered


def test_equal_cells_are_seldom_told_apart(covered: Counter[str]) -> None:
    assert covered["a false difference is shown"] / NUM_REPEATS <= 0.05, covered
