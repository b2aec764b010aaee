"""Advice follows from what was measured, and from nothing else."""

from dataclasses import replace

from backbench.choosing import Candidate, pareto_front, recommendations

BEST = Candidate("best", 0.90, True, latency_ms=10.0, model_bytes=100e6, training_seconds=600.0)
TIED = Candidate("tied", 0.885, True, latency_ms=4.0, model_bytes=50e6, training_seconds=900.0)
CLOSE = Candidate("close", 0.893, False, latency_ms=3.0, model_bytes=20e6, training_seconds=60.0)
POOR = Candidate("poor", 0.5, False, latency_ms=1.0, model_bytes=1e6, training_seconds=1.0)
ALL = [BEST, CLOSE, TIED, POOR]


def test_the_front_is_what_nothing_cheaper_beats() -> None:
    assert [each.name for each in pareto_front(ALL, lambda each: each.latency_ms)] == ["poor", "close", "best"]
    assert [each.name for each in pareto_front([BEST, TIED], lambda each: each.training_seconds)] == ["best"]


def test_of_equals_the_front_has_one_and_what_is_not_measured_is_not_on_it() -> None:
    twins = [BEST, replace(BEST, name="twin"), replace(BEST, name="unknown", latency_ms=None)]
    assert [each.name for each in pareto_front(twins, lambda each: each.latency_ms)] == ["best"]


def test_each_wish_has_its_cell_and_its_reason() -> None:
    found = {each.wish: each for each in recommendations(ALL)}
    assert found["best"].name == "best"
    assert "no difference shown to tied" in found["best"].reason
    fastest = found["fastest within the tie of the best"]
    assert fastest.name == "tied"  # close is faster, but a difference is shown
    assert "4 ms per image instead of 10 ms per image" in fastest.reason
    assert "1.5 points" in fastest.reason
    assert found["smallest within 1 point of the best"].name == "close"
    assert found["quickest to search and train within the tie of the best"].name == "best"


def test_what_was_not_measured_is_not_advised() -> None:
    unmeasured = [replace(each, latency_ms=None, training_seconds=None) for each in ALL]
    assert [each.wish for each in recommendations(unmeasured)] == ["best", "smallest within 1 point of the best"]
