"""Advice follows from what was measured, and of accuracies from those on validation alone."""

from dataclasses import replace

from backbench.comparison.choosing import Candidate, pareto_front, recommendations


def candidate(name: str, accuracy: float, loss: float, *costs: float | None, worse: bool = False) -> Candidate:
    """A candidate that is as accurate on test as on validation; costs are latency, bytes, seconds."""
    latency_ms, model_bytes, training_seconds = costs
    return Candidate(name, loss, accuracy, worse, accuracy, "", latency_ms, model_bytes, training_seconds)


CHOSEN = candidate("chosen", 0.90, 0.30, 10.0, 100e6, 600.0)
CLOSE = candidate("close", 0.893, 0.32, 3.0, 20e6, 60.0, worse=True)
SIMILAR = candidate("similar", 0.885, 0.35, 4.0, 50e6, 900.0)
POOR = candidate("poor", 0.5, 0.9, 1.0, 1e6, 1.0, worse=True)
ALL = [CHOSEN, CLOSE, SIMILAR, POOR]
FASTEST = "fastest, not significantly worse on validation"
SMALLEST = "smallest within 1 point of validation accuracy"
QUICKEST = "quickest to search and train, not significantly worse on validation"


def test_the_front_is_what_nothing_cheaper_beats() -> None:
    assert [each.name for each in pareto_front(ALL, lambda each: each.latency_ms)] == ["poor", "close", "chosen"]
    assert [each.name for each in pareto_front([CHOSEN, SIMILAR], lambda each: each.training_seconds)] == ["chosen"]


def test_of_equals_the_front_has_one_and_what_is_not_measured_is_not_on_it() -> None:
    twins = [CHOSEN, replace(CHOSEN, name="twin"), replace(CHOSEN, name="unknown", latency_ms=None)]
    assert [each.name for each in pareto_front(twins, lambda each: each.latency_ms)] == ["chosen"]


def test_each_wish_has_its_cell_and_its_reason() -> None:
    found = {each.wish: each for each in recommendations(ALL)}
    assert found["chosen"].reason == "The lowest validation loss, 0.300; test accuracy 0.900."
    assert found[FASTEST].name == "similar"  # close is faster, but significantly worse
    assert found[FASTEST].reason == (
        "4 ms per image instead of 10 ms per image of the chosen. Accuracy on validation 0.885 instead of 0.900, "
        "on test 0.885 instead of 0.900."
    )
    assert found[SMALLEST].name == "close"
    assert found[QUICKEST].name == "chosen"


def test_exactly_a_point_is_within_a_point() -> None:
    assert 0.90 - 0.89 > 0.01  # in floats
    found = {
        each.wish: each.name
        for each in recommendations([replace(CHOSEN, val_accuracy=0.90), replace(POOR, val_accuracy=0.89)])
    }
    assert found[SMALLEST] == "poor"


def test_test_accuracies_advise_nothing() -> None:
    other = [replace(each, test_accuracy=1 - each.test_accuracy) for each in ALL]
    assert [each.name for each in recommendations(other)] == [each.name for each in recommendations(ALL)]


def test_no_row_is_recommended_without_what_its_accuracy_may_hide() -> None:
    hiding = replace(SIMILAR, warning="finds the class local in only 1.7 % of its 100 test images")
    found = {each.wish: each for each in recommendations([CHOSEN, hiding])}
    assert found["chosen"].reason.startswith("The lowest validation loss")
    assert found[FASTEST].reason.startswith("But it finds the class local in only 1.7 % of its 100 test images. 4 ms")
    first = recommendations([replace(hiding, name="chosen"), CHOSEN])[0]
    assert first.reason.startswith("But it finds the class local in only 1.7 % of its 100 test images. The lowest")


def test_what_was_not_measured_is_not_advised() -> None:
    unmeasured = [replace(each, latency_ms=None, training_seconds=None) for each in ALL]
    assert [each.wish for each in recommendations(unmeasured)] == ["chosen", SMALLEST]
