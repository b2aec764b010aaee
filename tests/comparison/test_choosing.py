"""Advice follows from what was measured, and of accuracies from those on validation alone."""

from dataclasses import replace

import numpy as np

from backbench.comparison.choosing import LATENCY, SECONDS, pareto_front, recommendations
from backbench.comparison.class_recalls import ClassRecall, ClassRecalls
from backbench.comparison.costs import MeasuredCost
from backbench.comparison.leaderboard import Row
from backbench.comparison.resampling import Resampled
from tests.support.rows import finished

FOUND = ClassRecalls((ClassRecall("local", 100, 0.9), ClassRecall("global", 100, 0.9)))


def row(name: str, accuracy: float, loss: float, *costs: float, worse: bool = False) -> Row:
    """A row that is as accurate on test as on validation; costs are latency, bytes, seconds of training."""
    latency_ms, model_bytes, seconds = costs
    one = finished(name, "x", accuracy)
    mean = {"val_loss": loss, "val_accuracy": accuracy, "test_accuracy": accuracy, "test_balanced_accuracy": accuracy}
    return Row(
        replace(one.metrics, model_bytes=int(model_bytes), mean=mean),
        None,
        one.read,
        rank=1,
        test_rank=1,
        intervals={},
        resampled=Resampled(np.zeros(1), np.zeros((1, 1)), 1),
        recalls=FOUND,
        is_worse_on_val=worse,
        cost=MeasuredCost(latency_p50_ms=latency_ms, search_seconds=0.0, training_seconds=seconds),
    )


def other(of: Row, **mean: float) -> Row:
    return replace(of, metrics=replace(of.metrics, mean=of.metrics.mean | mean))


def named(of: Row, name: str) -> Row:
    return replace(of, metrics=replace(of.metrics, backbone=name))


CHOSEN = row("chosen", 0.90, 0.30, 10.0, 100e6, 600.0)
CLOSE = row("close", 0.893, 0.32, 3.0, 20e6, 60.0, worse=True)
SIMILAR = row("similar", 0.885, 0.35, 4.0, 50e6, 900.0)
POOR = row("poor", 0.5, 0.9, 1.0, 1e6, 1.0, worse=True)
ALL = [CHOSEN, CLOSE, SIMILAR, POOR]
FASTEST = "fastest, not significantly worse on validation"
SMALLEST = "smallest within 1 point of validation accuracy"
QUICKEST = "quickest to search and train, not significantly worse on validation"


def test_the_front_is_what_nothing_cheaper_beats() -> None:
    assert [each.backbone for each in pareto_front(ALL, LATENCY)] == ["poor", "close", "chosen"]
    assert [each.backbone for each in pareto_front([CHOSEN, SIMILAR], SECONDS)] == ["chosen"]


def test_of_equals_the_front_has_one_and_what_is_not_measured_is_not_on_it() -> None:
    twins = [CHOSEN, named(CHOSEN, "twin"), replace(named(CHOSEN, "unknown"), cost=MeasuredCost())]
    assert [each.backbone for each in pareto_front(twins, LATENCY)] == ["chosen"]


def test_each_wish_has_its_cell_and_its_reason() -> None:
    found = {each.wish: each for each in recommendations(ALL)}
    assert found["chosen"].reason == "The lowest validation loss, 0.300; test accuracy 0.900."
    assert found[FASTEST].row is SIMILAR  # close is faster, but significantly worse
    assert found[FASTEST].reason == (
        "4 ms per image instead of 10 ms per image of the chosen. Accuracy on validation 0.885 instead of 0.900, "
        "on test 0.885 instead of 0.900."
    )
    assert found[SMALLEST].row is CLOSE
    assert found[QUICKEST].row is CHOSEN


def test_exactly_a_point_is_within_a_point() -> None:
    assert 0.90 - 0.89 > 0.01  # in floats
    found = {
        each.wish: each.row.backbone
        for each in recommendations([other(CHOSEN, val_accuracy=0.90), other(POOR, val_accuracy=0.89)])
    }
    assert found[SMALLEST] == "poor"


def test_test_accuracies_advise_nothing() -> None:
    turned = [other(each, test_accuracy=1 - each.test_accuracy) for each in ALL]
    assert [each.row.name for each in recommendations(turned)] == [each.row.name for each in recommendations(ALL)]


def test_no_row_is_recommended_without_what_its_accuracy_may_hide() -> None:
    hiding = replace(SIMILAR, recalls=ClassRecalls((ClassRecall("local", 100, 0.017), ClassRecall("global", 100, 0.9))))
    found = {each.wish: each for each in recommendations([CHOSEN, hiding])}
    assert found["chosen"].reason.startswith("The lowest validation loss")
    but = "But it finds the class local in only 1.7 % of its 100 test images, less often than chance would "
    assert found[FASTEST].reason.startswith(f"{but}(balanced accuracy 0.885). 4 ms")
    assert recommendations([hiding, CHOSEN])[0].reason.startswith(f"{but}(balanced accuracy 0.885). The lowest")


def test_what_was_not_measured_is_not_advised() -> None:
    unmeasured = [replace(each, cost=MeasuredCost()) for each in ALL]
    assert [each.wish for each in recommendations(unmeasured)] == ["chosen", SMALLEST]
