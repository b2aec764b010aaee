"""Where few images are in folds, intervals that take them for independent cover the truth too seldom; corrected do not.

`python -m tests.comparison.test_coverage_of_folds` prints the rates, as docs/uncertainty.md shows them.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits

from backbench.comparison.resampling import inflation_of, resample
from backbench.comparison.uncertainty import difference, interval
from backbench.evaluation.predictions import Predictions

NUM_FOLDS, NUM_VALUES = 5, 20
NUMS_IMAGES = (30, 60, 120)
# How far the two classes lie apart, in standard deviations of a value.
APART = (1.0, 2.0, 3.0)
STRENGTHS = (1e-3, 1e-1, 10.0)
NUM_OTHERS = 2000
# Two learners that are equally good, each of which sees half of what tells the classes apart, and noise of its own.
FIRST, SECOND = (0, 1, *range(4, 12)), (2, 3, *range(12, 20))
# In so many repeats a rate of 95 % is off by 1.1 points by chance.
NUM_REPEATS, NUM_RESAMPLES = 400, 500

Images = tuple[np.ndarray, np.ndarray]


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    with threadpool_limits(1):
        yield


def drawn(random: np.random.Generator, num_images: int, apart: float) -> Images:
    """Draw values `(num_images, NUM_VALUES)` of two equally large classes, which the first four tell apart."""
    labels = np.arange(num_images, dtype=np.int32) % 2
    values = random.normal(size=(num_images, NUM_VALUES))
    values[:, :4] += np.where(labels == 1, apart / 4, -apart / 4)[:, None]
    return values, labels


def chosen(values: np.ndarray, labels: np.ndarray, is_train: np.ndarray, is_val: np.ndarray) -> LogisticRegression:
    """Fit a regression of every strength to train; return the one of the lowest loss on val."""
    fitted = [
        LogisticRegression(C=strength, solver="newton-cholesky").fit(values[is_train], labels[is_train])
        for strength in STRENGTHS
    ]
    own = [each.predict_proba(values[is_val])[np.arange(is_val.sum()), labels[is_val]] for each in fitted]
    return fitted[int(np.argmax([np.log(each).mean() for each in own]))]


def in_folds(values: np.ndarray, labels: np.ndarray, others: Images) -> tuple[Predictions, float]:
    """Return the predictions of all images in their folds, and the mean accuracy of the folds' models on others."""
    fold = np.arange(len(labels)) // 2 % NUM_FOLDS
    predicted, accuracies = np.empty((1, len(labels), 2), np.float32), []
    for test in range(NUM_FOLDS):
        is_test, is_val = fold == test, fold == (test + 1) % NUM_FOLDS
        model = chosen(values, labels, ~(is_test | is_val), is_val)
        predicted[0, is_test] = model.predict_proba(values[is_test])
        accuracies.append(model.score(*others))
    return Predictions((0,), labels, predicted), float(np.mean(accuracies))


@dataclass(frozen=True)
class Rates:
    """Of 95 % intervals, with and without the correction, how often they cover: `(alone, corrected)`, as shares.

    The truth is the mean over sets of training images, `accuracy`; a difference is of equals. Widths are means.
    `variance` is that of the accuracy over sets of images, as a multiple of what images alone have on average.
    """

    accuracy: float
    variance: float
    covers: tuple[float, float]
    covers_difference: tuple[float, float]
    width: tuple[float, float]


@cache
def rates(num_images: int, apart: float, num_repeats: int = NUM_REPEATS) -> Rates:
    """Draw few images again and again, train two learners in folds, and hold their intervals to the truth."""
    random = np.random.default_rng(num_images)
    others = drawn(random, NUM_OTHERS, apart)
    pairs, accuracies = [], []
    for _ in range(num_repeats):
        values, labels = drawn(random, num_images, apart)
        found = [in_folds(values[:, own], labels, (others[0][:, own], others[1])) for own in (FIRST, SECOND)]
        pairs.append([predictions for predictions, _ in found])
        accuracies.append([accuracy for _, accuracy in found])
    truth = float(np.mean(accuracies, axis=0)[0])
    seen, measured, of_images = np.zeros((3, 2)), [], []
    for pair in pairs:
        for place, folds in enumerate((None, NUM_FOLDS)):
            cells = resample(pair, inflation=inflation_of(folds), num_resamples=NUM_RESAMPLES)
            first, second = (numbers["accuracy"] for numbers in cells)
            one, between = interval(first), difference(first, second).interval
            covers = (one.low <= truth <= one.high, between.low <= 0 <= between.high)
            seen[:, place] += (*covers, one.high - one.low)
            if folds is None:
                measured.append(first.mean)
                of_images.append(np.var(first.means))
    (alone, corrected), of_difference, width = (seen / num_repeats).tolist()
    variance = float(np.var(measured) / np.mean(of_images))
    return Rates(truth, variance, (alone, corrected), tuple(of_difference), tuple(width))


@pytest.mark.parametrize(("num_images", "apart"), [(30, 1.0), (60, 2.0)])
def test_corrected_intervals_cover_what_those_of_independent_images_do_not(num_images: int, apart: float) -> None:
    found = rates(num_images, apart, 150)
    alone, corrected = found.covers
    assert alone < 0.92, "the fault that the correction is for"
    assert corrected >= 0.95
    assert found.covers_difference[1] >= 0.95
    assert found.width[1] < 1.55 * found.width[0]
    assert 1 < found.variance < inflation_of(NUM_FOLDS)


def print_rates() -> None:
    columns = ("images", "accuracy", "variance", "images alone", "corrected", "width")
    print("|", " | ".join((*columns, "a difference of equals, alone", "corrected")), "|")
    print("|---|---|---|---|---|---|---|---|")
    for num_images in NUMS_IMAGES:
        for apart in APART:
            found = rates(num_images, apart)
            shares, of_difference = (
                " | ".join(f"{100 * each:.1f} %" for each in both) for both in (found.covers, found.covers_difference)
            )
            known = f"{num_images} | {found.accuracy:.2f} | {found.variance:.2f}"
            print(f"| {known} | {shares} | {found.width[0]:.2f} → {found.width[1]:.2f} | {of_difference} |", flush=True)


if __name__ == "__main__":
    with threadpool_limits(1):
        print_rates()
