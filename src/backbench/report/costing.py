"""Rows with what they cost: as someone who chooses sees them, and by each of the costs that a choice may go by."""

from collections.abc import Mapping
from dataclasses import dataclass, fields

from backbench.comparison.answering import class_warning
from backbench.comparison.choosing import Candidate, Cost, pareto_front
from backbench.comparison.costs import MeasuredCost
from backbench.comparison.leaderboard import Leaderboard, Row

NOT_MEASURED = MeasuredCost(**dict.fromkeys(field.name for field in fields(MeasuredCost)))


@dataclass(frozen=True)
class Axis:
    """A cost that accuracy is held against; `front` names the rows that no other beats, from cheap to dear."""

    key: str
    title: str
    values: Mapping[str, float]
    front: tuple[str, ...]


def cost_of(row: Row, costs: Mapping[str, MeasuredCost]) -> MeasuredCost:
    """Return what was measured of a row, or that nothing was."""
    return costs.get(row.name, NOT_MEASURED)


def total_seconds(cost: MeasuredCost) -> float | None:
    """Return what search and final models took together to compute; None where one of them is not known."""
    if cost.search_seconds is None or cost.training_seconds is None:
        return None
    return cost.search_seconds + cost.training_seconds


def candidates(leaderboard: Leaderboard, costs: Mapping[str, MeasuredCost]) -> list[Candidate]:
    """Spell every row as a candidate, in the order of validation."""
    return [
        Candidate(
            name=entry.row.name,
            val_loss=entry.row.val_loss_mean,
            val_accuracy=entry.row.val_accuracy_mean,
            is_worse_on_val=entry.is_worse_on_val,
            test_accuracy=entry.row.test_accuracy_mean,
            warning=class_warning(entry),
            latency_ms=cost_of(entry.row, costs).latency_p50_ms,
            model_bytes=entry.row.model_bytes,
            training_seconds=total_seconds(cost_of(entry.row, costs)),
        )
        for entry in leaderboard.entries
    ]


def axes(leaderboard: Leaderboard, costs: Mapping[str, MeasuredCost]) -> list[Axis]:
    """Return the costs that were measured of any cell; the pixels, which have no backbone, are left out."""
    parameters = {row.name: float(row.num_parameters) for row in leaderboard.rows}
    cells = {row.name for row in leaderboard.rows if not row.is_baseline}
    offered: list[tuple[str, str, Cost]] = [
        ("latency", "latency of one image, ms", lambda each: each.latency_ms),
        ("size", "model size, bytes", lambda each: each.model_bytes),
        ("seconds", "search and training, seconds", lambda each: each.training_seconds),
        ("parameters", "parameters", lambda each: parameters[each.name]),
    ]
    rows = [each for each in candidates(leaderboard, costs) if each.name in cells]
    made = []
    for key, title, cost in offered:
        values = {each.name: value for each in rows if (value := cost(each)) is not None}
        if values:
            made.append(Axis(key, title, values, tuple(each.name for each in pareto_front(rows, cost))))
    return made


def missing(leaderboard: Leaderboard, costs: Mapping[str, MeasuredCost]) -> list[str]:
    """Name what was measured of no row on this machine."""
    measured = [cost_of(row, costs) for row in leaderboard.rows]
    named: dict[str, list[float | int | None]] = {
        "latency": [cost.latency_p50_ms for cost in measured],
        "throughput": [cost.throughput_images_per_second for cost in measured],
        "peak memory": [cost.peak_memory_bytes for cost in measured],
        "time of search and training": [total_seconds(cost) for cost in measured],
        "model size": [row.model_bytes for row in leaderboard.rows],
    }
    return [name for name, values in named.items() if all(value is None for value in values)]
