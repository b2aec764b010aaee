"""A class that is seldom found is seen, whatever the accuracy."""

import numpy as np
import pytest

from backbench.comparison.class_recalls import ClassRecall, ClassRecalls, class_recalls
from backbench.evaluation.predictions import Predictions
from tests.support.finished_benchmark import UNEVEN, finding, labels


def test_recalls_are_means_over_seeds_the_worst_first_and_what_has_no_image_last() -> None:
    actual = np.array([0, 0, 1, 1], dtype=np.int32)
    shown = np.array([[0, 1, 1, 1], [0, 0, 1, 1]])
    found = class_recalls(Predictions((0, 1), actual, np.eye(3, dtype=np.float32)[shown]), ["a", "b", "never"])
    assert found.classes == (ClassRecall("a", 2, 0.75), ClassRecall("b", 2, 1.0), ClassRecall("never", 0, None))
    assert found.worst.name == "a"


def test_of_classes_that_are_found_as_seldom_the_larger_comes_first() -> None:
    actual = np.array([0, 1, 1, 2, 2, 2], dtype=np.int32)
    predictions = Predictions((0,), actual, np.eye(3, dtype=np.float32)[np.full((1, 6), 2)])
    assert [each.name for each in class_recalls(predictions, "abc").classes] == ["b", "a", "c"]


def test_the_textile_pictures_have_a_class_below_chance() -> None:
    found = class_recalls(Predictions.of_seeds(finding((593 / 600, 5 / 300, 1.0)), labels(tuple(UNEVEN))), list(UNEVEN))
    assert (found.worst.name, found.worst.num_images) == ("<local>", 100)
    assert found.worst.recall == pytest.approx(5 / 300)
    assert [each.name for each in found.below_chance] == ["<local>"]
    assert found.is_uneven
    assert found.may_be_hidden


@pytest.mark.parametrize(
    ("counts", "recalls", "uneven", "hidden"),
    {
        "even and found": ((100, 100), (0.6, 0.9), False, False),
        "just not uneven": ((149, 100), (0.6, 0.9), False, False),
        "uneven": ((150, 100), (0.6, 0.9), True, True),
        "even, and a class below chance": ((100, 100), (0.49, 0.9), False, True),
        "as chance": ((100, 100), (0.5, 0.9), False, False),
    }.values(),
)
def test_an_accuracy_may_hide_a_class_by_this_rule(
    counts: tuple[int, int], recalls: tuple[float, float], uneven: bool, hidden: bool
) -> None:
    found = ClassRecalls(tuple(ClassRecall("x", *each) for each in zip(counts, recalls, strict=True)))
    assert (found.is_uneven, found.may_be_hidden) == (uneven, hidden)
