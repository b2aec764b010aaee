"""Intervals of every headline number of several classes cover the truth.

`python -m tests.comparison.test_coverage_of_metrics` prints how often.
"""

from collections.abc import Mapping
from functools import cache

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from backbench.comparison.resampling import resample
from backbench.comparison.uncertainty import interval
from backbench.evaluation.predictions import Predictions
from tests.support.known_truth import drawn_cells, seed_effects

# Images of each class.
SIZES = {"even": (10,) * 10, "uneven": (20, 80, 120)}
ACCURACIES = (0.90, 0.97, 0.99)
NUM_SEEDS, AGREEMENT, SD_OF_SEEDS = 3, 0.9, 0.02
# A rate of 95 % is off by 1.3 points in so many.
NUM_REPEATS, NUM_RESAMPLES = 300, 300


def own_probability(right: np.ndarray, luck: np.ndarray) -> np.ndarray:
    """Return what the true class is given: more than a half where right, seldom little more."""
    doubt = 0.49 * luck**3 + 1e-6
    return np.where(right > 0, 1 - doubt, doubt)


def truths(sizes: tuple[int, ...], accuracy: float) -> dict[str, float]:
    """Return what is expected where all classes are equally hard, and are mistaken for every other alike."""
    number = np.array(sizes, dtype=float)
    shown = number * accuracy + (number.sum() - number) * (1 - accuracy) / (len(number) - 1)
    luck = (np.arange(10**6) + 0.5) / 10**6
    of_right, of_wrong = (-np.log(own_probability(np.full_like(luck, right), luck)).mean() for right in (1.0, 0.0))
    return {
        "accuracy": accuracy,
        "balanced_accuracy": accuracy,
        "macro_f1": float(np.mean(2 * number * accuracy / (number + shown))),
        "log_loss": float(accuracy * of_right + (1 - accuracy) * of_wrong),
    }


def drawn_predictions(random: np.random.Generator, sizes: tuple[int, ...], accuracy: float) -> Predictions:
    labels = np.repeat(np.arange(len(sizes), dtype=np.int32), sizes)
    effects = seed_effects(random, 1, NUM_SEEDS, SD_OF_SEEDS)
    (right,) = drawn_cells(random, [accuracy], effects, len(labels), agreement=AGREEMENT, sd_of_seeds=SD_OF_SEEDS)
    own = own_probability(right, random.uniform(size=len(labels)))
    other = (labels + random.integers(1, len(sizes), len(labels))) % len(sizes)
    images = np.arange(len(labels))
    probabilities = np.zeros((NUM_SEEDS, len(labels), len(sizes)), np.float32)
    probabilities[:, images, labels], probabilities[:, images, other] = own, 1 - own
    return Predictions(tuple(range(NUM_SEEDS)), labels, probabilities)


@cache
def rates(kind: str, accuracy: float) -> Mapping[str, float]:
    """Return how often the interval of each number covers the truth."""
    random = np.random.default_rng(len(SIZES[kind]))
    expected = truths(SIZES[kind], accuracy)
    covered = dict.fromkeys(expected, 0)
    with threadpool_limits(1):
        for _ in range(NUM_REPEATS):
            (numbers,) = resample([drawn_predictions(random, SIZES[kind], accuracy)], num_resamples=NUM_RESAMPLES)
            for name, truth in expected.items():
                found = interval(numbers[name])
                covered[name] += found.low <= truth <= found.high
    return {name: number / NUM_REPEATS for name, number in covered.items()}


@pytest.mark.parametrize("accuracy", ACCURACIES)
@pytest.mark.parametrize("kind", SIZES)
def test_intervals_of_shares_cover(kind: str, accuracy: float) -> None:
    """Macro F1 is a ratio of counts that are near each other where nearly all is right: it is treated as a share."""
    found = rates(kind, accuracy)
    assert all(found[name] >= 0.92 for name in ("accuracy", "balanced_accuracy", "macro_f1")), found


def test_an_interval_of_log_loss_covers_where_mistakes_are_many() -> None:
    """A bootstrap knows only the mistakes that are there: of few mistakes it says too little."""
    assert rates("uneven", 0.90)["log_loss"] >= 0.92


if __name__ == "__main__":
    print("| images by class | accuracy |", " | ".join(truths(SIZES["even"], 0.9)), "|\n|---|---|---|---|---|---|")
    for kind in SIZES:
        for accuracy in ACCURACIES:
            shown = (f"{each:.1%}" for each in rates(kind, accuracy).values())
            print(f"| {kind} | {accuracy:.2f} |", " | ".join(shown), "|")
