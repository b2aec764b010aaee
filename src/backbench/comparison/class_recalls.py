"""How often each class is found, and whether an accuracy may hide one that is not."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from backbench.evaluation.predictions import Predictions

# Classes are uneven where the largest has so many times the test images of the smallest.
UNEVEN = 1.5


@dataclass(frozen=True)
class ClassRecall:
    """The share of a class's test images that is recognised, over all seeds; None where it has no image."""

    name: str
    num_images: int
    recall: float | None

    def text(self, spelt: Callable[[str], str] = str) -> str:
        """Spell name, recall and number of test images: `local 0.017 of 100`."""
        return f"{spelt(self.name)} {self.recall or 0.0:.3f} of {self.num_images:,}"


@dataclass(frozen=True)
class ClassRecalls:
    """Every class, the worst found first; of equally found ones the larger first, those without a test image last."""

    classes: tuple[ClassRecall, ...]

    @property
    def worst(self) -> ClassRecall:
        return self.classes[0]

    @property
    def is_uneven(self) -> bool:
        counts = [each.num_images for each in self.classes if each.num_images]
        return max(counts) >= UNEVEN * min(counts)

    @property
    def below_chance(self) -> tuple[ClassRecall, ...]:
        """The classes that are found less often than by naming classes at random."""
        chance = 1 / len(self.classes)
        return tuple(each for each in self.classes if each.recall is not None and each.recall < chance)

    @property
    def may_be_hidden(self) -> bool:
        """Whether an accuracy is not to be shown without the worst class."""
        return self.is_uneven or bool(self.below_chance)


def class_recalls(predictions: Predictions, classes: Sequence[str]) -> ClassRecalls:
    """Measure every class by its name; the names are in the order of the labels."""
    labels = predictions.labels
    right = (predictions.probabilities.argmax(axis=2) == labels).mean(axis=0)
    counts = np.bincount(labels, minlength=len(classes))
    recalled = np.bincount(labels, weights=right, minlength=len(classes))
    found = [
        ClassRecall(name, int(count), float(sum_right / count) if count else None)
        for name, count, sum_right in zip(classes, counts, recalled, strict=True)
    ]
    return ClassRecalls(tuple(sorted(found, key=lambda each: (_place(each), -each.num_images))))


def _place(each: ClassRecall) -> float:
    return 2.0 if each.recall is None else each.recall
