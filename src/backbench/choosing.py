"""From measurements to advice: the Pareto front, and what to take for whom, each with its reason."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from backbench.findings import listed
from backbench.units import duration, size

ONE_POINT = 0.01

Cost = Callable[["Candidate"], float | None]


@dataclass(frozen=True)
class Candidate:
    """A cell as someone who chooses sees it; a cost is None where it was not measured here.

    `is_tied` where no difference to the best is shown. `training_seconds` are what search and final models took to
    compute.
    """

    name: str
    test_accuracy: float
    is_tied: bool
    latency_ms: float | None
    model_bytes: float | None
    training_seconds: float | None


@dataclass(frozen=True)
class Recommendation:
    """What to take, for which wish, and why."""

    wish: str
    name: str
    reason: str


def pareto_front(candidates: Sequence[Candidate], cost: Cost) -> list[Candidate]:
    """Return those that no other beats in accuracy without costing more, from cheap to dear; equals count once."""
    front: list[Candidate] = []
    measured = [(value, each) for each in candidates if (value := cost(each)) is not None]
    for _, each in sorted(measured, key=lambda pair: (pair[0], -pair[1].test_accuracy, pair[1].name)):
        if not front or each.test_accuracy > front[-1].test_accuracy:
            front.append(each)
    return front


def recommendations(candidates: Sequence[Candidate]) -> list[Recommendation]:
    """Recommend the best, and the cheapest of those that are as good, as far as was measured.

    Args:
        candidates: From best to worst, at least one.
    """
    best = candidates[0]
    tied = [each for each in candidates if each.is_tied]
    close = [each for each in candidates if each.test_accuracy >= best.test_accuracy - ONE_POINT]
    wishes = [
        _cheapest("fastest within the tie of the best", tied, best, lambda each: each.latency_ms, _milliseconds),
        _cheapest("smallest within 1 point of the best", close, best, lambda each: each.model_bytes, size),
        _cheapest(
            "quickest to search and train within the tie of the best",
            tied,
            best,
            lambda each: each.training_seconds,
            duration,
        ),
    ]
    return [_most_accurate(best, tied), *(wish for wish in wishes if wish is not None)]


def _most_accurate(best: Candidate, tied: Sequence[Candidate]) -> Recommendation:
    reason = f"test accuracy {best.test_accuracy:.3f}, the highest measured"
    others = [each.name for each in tied if each is not best]
    if others:
        reason += f"; no difference shown to {listed(others)}"
    return Recommendation("best", best.name, f"{reason}.")


def _cheapest(
    wish: str, among: Sequence[Candidate], best: Candidate, cost: Cost, spelt: Callable[[float], str]
) -> Recommendation | None:
    measured = [(value, place) for place, each in enumerate(among) if (value := cost(each)) is not None]
    if not measured:
        return None
    value, place = min(measured)
    chosen, own = among[place], cost(best)
    if len(among) == 1:
        return Recommendation(wish, best.name, f"{spelt(value)}; nothing else comes as close.")
    if chosen is best or own is None:
        return Recommendation(wish, chosen.name, f"{spelt(value)}, the least of {len(among)} that come as close.")
    gap = 100 * (best.test_accuracy - chosen.test_accuracy)
    return Recommendation(
        wish, chosen.name, f"{spelt(value)} instead of {spelt(own)} of the best, for {gap:.1f} points of test accuracy."
    )


def _milliseconds(value: float) -> str:
    return f"{value:.3g} ms per image"
