"""From measurements to advice, by validation alone: what to take for which wish, and why; and the Pareto front."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from backbench.runtime.units import duration, size

ONE_POINT = 0.01

Cost = Callable[["Candidate"], float | None]


@dataclass(frozen=True)
class Candidate:
    """A cell as someone who chooses sees it; a cost is None where it was not measured here.

    `is_worse_on_val` where its validation accuracy is significantly below that of another. `test_accuracy` is told,
    and decides nothing. `training_seconds` are what search and final models took to compute. `warning` is what the
    accuracy may hide, as words that go on after "it", or empty.
    """

    name: str
    val_loss: float
    val_accuracy: float
    is_worse_on_val: bool
    test_accuracy: float
    warning: str
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
    """Return those that no other beats in test accuracy without costing more, from cheap to dear; equals count once.

    It is for looking at: nothing is recommended by it.
    """
    front: list[Candidate] = []
    measured = [(value, each) for each in candidates if (value := cost(each)) is not None]
    for _, each in sorted(measured, key=lambda pair: (pair[0], -pair[1].test_accuracy, pair[1].name)):
        if not front or each.test_accuracy > front[-1].test_accuracy:
            front.append(each)
    return front


def recommendations(candidates: Sequence[Candidate]) -> list[Recommendation]:
    """Recommend the chosen, and the cheapest of those that do as well on validation, as far as was measured.

    Args:
        candidates: From the lowest validation loss to the highest, at least one; the first is the chosen.
    """
    chosen = candidates[0]
    as_good = [each for each in candidates if not each.is_worse_on_val]
    # Rounded, because one image more or less is often exactly a point, and floats are not.
    close = [each for each in candidates if round(chosen.val_accuracy - each.val_accuracy, 6) <= ONE_POINT]
    not_worse = "not significantly worse on validation"
    wishes = [
        _cheapest(f"fastest, {not_worse}", as_good, chosen, lambda each: each.latency_ms, _milliseconds),
        _cheapest("smallest within 1 point of validation accuracy", close, chosen, lambda each: each.model_bytes, size),
        _cheapest(
            f"quickest to search and train, {not_worse}", as_good, chosen, lambda each: each.training_seconds, duration
        ),
    ]
    reason = f"the lowest validation loss, {chosen.val_loss:.3f}; test accuracy {chosen.test_accuracy:.3f}."
    return [_recommended("chosen", chosen, reason), *(wish for wish in wishes if wish is not None)]


def _cheapest(
    wish: str, among: Sequence[Candidate], chosen: Candidate, cost: Cost, spelt: Callable[[float], str]
) -> Recommendation | None:
    measured = [(value, place) for place, each in enumerate(among) if (value := cost(each)) is not None]
    if not measured:
        return None
    value, place = min(measured)
    cheapest, own = among[place], cost(chosen)
    if len(among) == 1:
        return _recommended(wish, cheapest, f"{spelt(value)}; nothing else comes as close.")
    if cheapest is chosen or own is None:
        return _recommended(wish, cheapest, f"{spelt(value)}, the least of {len(among)} that come as close.")
    return _recommended(
        wish,
        cheapest,
        f"{spelt(value)} instead of {spelt(own)} of the chosen. Accuracy on validation {cheapest.val_accuracy:.3f} "
        f"instead of {chosen.val_accuracy:.3f}, on test {cheapest.test_accuracy:.3f} instead of "
        f"{chosen.test_accuracy:.3f}.",
    )


def _recommended(wish: str, candidate: Candidate, reason: str) -> Recommendation:
    """Recommend no row without what its accuracy may hide."""
    warning = f"But it {candidate.warning}. " if candidate.warning else ""
    return Recommendation(wish, candidate.name, f"{warning}{reason[0].upper() + reason[1:]}")


def _milliseconds(value: float) -> str:
    return f"{value:.3g} ms per image"
