"""What a model gets wrong: which classes, which pairs of them, and which images it was surest about."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from backbench.evaluation.predictions import Predictions

NUM_CONFUSED_PAIRS = 8
MAX_MISTAKES = 24


@dataclass(frozen=True)
class Mistake:
    """A test image by its position, its class and the one that was predicted, as labels; `confidence` is a share."""

    position: int
    actual: int
    predicted: int
    confidence: float


@dataclass(frozen=True)
class ConfusedPair:
    """The share of a class's images that is taken for another class, over all seeds."""

    actual: str
    predicted: str
    share: float


def mean_confusion(predictions: Predictions) -> NDArray[np.float64]:
    """Share of each true class by predicted class over all seeds, float64; a class with no image is all 0."""
    counts = predictions.confusion()
    return np.asarray(counts / np.maximum(counts.sum(axis=1, keepdims=True), 1), dtype=np.float64)


def confused_pairs(share: NDArray[np.float64], classes: Sequence[str]) -> list[ConfusedPair]:
    """Name the pairs that are confused most, at most eight."""
    wrong = share * (1 - np.eye(len(classes)))
    worst = np.argsort(-wrong, axis=None, kind="stable")[:NUM_CONFUSED_PAIRS]
    pairs = [(int(flat) // len(classes), int(flat) % len(classes)) for flat in worst]
    return [
        ConfusedPair(classes[actual], classes[predicted], float(wrong[actual, predicted]))
        for actual, predicted in pairs
        if wrong[actual, predicted] > 0
    ]


def worst_mistakes(predictions: Predictions) -> list[Mistake]:
    """Find the images whose wrong class has the highest probability on average over seeds, at most 24."""
    mean = predictions.probabilities.astype(np.float64).mean(axis=0)
    predicted = mean.argmax(axis=1)
    confidence = mean[np.arange(len(mean)), predicted]
    wrong = np.flatnonzero(predicted != predictions.labels)
    surest = wrong[np.argsort(-confidence[wrong], kind="stable")][:MAX_MISTAKES]
    return [
        Mistake(int(place), int(predictions.labels[place]), int(predicted[place]), float(confidence[place]))
        for place in surest
    ]
