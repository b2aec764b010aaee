"""From measurements to advice, by validation alone: what to take for which wish, and why; and the Pareto front."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from backbench.comparison.conclusions import class_warning
from backbench.comparison.leaderboard import Row, value_at
from backbench.runtime.units import duration, size

ONE_POINT = 0.01

# Where a row has what it costs, as `value_at` finds it.
LATENCY, SIZE, SECONDS = "cost.latency_p50_ms", "metrics.model_bytes", "cost.search_and_training_seconds"


@dataclass(frozen=True)
class Recommendation:
    """What to take, for which wish, and why."""

    wish: str
    row: Row
    reason: str


def pareto_front(rows: Sequence[Row], cost: str) -> list[Row]:
    """Return those that no other beats in test accuracy without costing more, from cheap to dear; equals count once.

    It is for looking at: nothing is recommended by it.
    """
    front: list[Row] = []
    measured = [(value, each) for each in rows if (value := value_at(each, cost)) is not None]
    for _, each in sorted(measured, key=lambda pair: (pair[0], -pair[1].test_accuracy, pair[1].name)):
        if not front or each.test_accuracy > front[-1].test_accuracy:
            front.append(each)
    return front


def recommendations(rows: Sequence[Row]) -> list[Recommendation]:
    """Recommend the chosen, and the cheapest of those that do as well on validation, as far as was measured.

    Args:
        rows: From the lowest validation loss to the highest, at least one; the first is the chosen.
    """
    chosen = rows[0]
    as_good = [each for each in rows if not each.is_worse_on_val]
    # Rounded, because one image more or less is often exactly a point, and floats are not.
    close = [each for each in rows if round(chosen.val_accuracy - each.val_accuracy, 6) <= ONE_POINT]
    not_worse = "not significantly worse on validation"
    wishes = [
        _cheapest(f"fastest, {not_worse}", as_good, chosen, LATENCY, _milliseconds),
        _cheapest("smallest within 1 point of validation accuracy", close, chosen, SIZE, size),
        _cheapest(f"quickest to search and train, {not_worse}", as_good, chosen, SECONDS, duration),
    ]
    reason = f"the lowest validation loss, {chosen.val_loss:.3f}; test accuracy {chosen.test_accuracy:.3f}."
    return [_recommended("chosen", chosen, reason), *(wish for wish in wishes if wish is not None)]


def _cheapest(
    wish: str, among: Sequence[Row], chosen: Row, cost: str, spelt: Callable[[float], str]
) -> Recommendation | None:
    measured = [(value, place) for place, each in enumerate(among) if (value := value_at(each, cost)) is not None]
    if not measured:
        return None
    value, place = min(measured)
    cheapest, own = among[place], value_at(chosen, cost)
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


def _recommended(wish: str, row: Row, reason: str) -> Recommendation:
    """Recommend no row without what its accuracy may hide."""
    warning = class_warning(row)
    but = f"But it {warning}. " if warning else ""
    return Recommendation(wish, row, f"{but}{reason[0].upper() + reason[1:]}")


def _milliseconds(value: float) -> str:
    return f"{value:.3g} ms per image"
