"""Every cell and the pixels, ranked by mean test accuracy, and whether the best is shown to be better."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

import numpy as np

from backbench import artifacts
from backbench.artifacts import Cell
from backbench.errors import ArtifactError
from backbench.predictions import Predictions, read_predictions
from backbench.records import CellRecord, MetricsRecord, read_cell, read_metrics
from backbench.statistics import Interval, bootstrap_mean, paired_difference

PIXELS = "pixels"


@dataclass(frozen=True)
class Row:
    """One line of the leaderboard; None where the pixels have no such thing, or one seed has no spread.

    `num_epochs` counts those of all trials together, the `num_pruned` pruned ones included.
    `test_accuracy_low` and `_high` bound the bootstrap 95 % interval over test images.
    """

    rank: int
    backbone: str
    strategy: str
    weights: str
    test_accuracy_mean: float
    test_accuracy_sd: float | None
    test_accuracy_low: float
    test_accuracy_high: float
    val_accuracy_mean: float
    learning_rate: float | None
    weight_decay: float | None
    learning_rate_at_edge: str | None
    num_trials: int | None
    num_pruned: int | None
    num_epochs: int | None
    num_seeds: int
    num_parameters: int
    num_trainable_parameters: int

    @property
    def name(self) -> str:
        return f"{self.backbone}-{self.strategy}"

    @property
    def is_baseline(self) -> bool:
        return self.backbone == PIXELS


COLUMNS = tuple(field.name for field in fields(Row))


@dataclass(frozen=True)
class Entry:
    """A row with what it was made from; `record` is None for the pixels, `behind` is None for the best."""

    row: Row
    record: CellRecord | None
    predictions: Predictions
    behind: Interval | None = None


@dataclass(frozen=True)
class Leaderboard:
    """Entries from best to worst; `behind` of each is the paired difference to the best, at least about 0."""

    entries: tuple[Entry, ...]

    @property
    def rows(self) -> list[Row]:
        return [entry.row for entry in self.entries]

    @property
    def best(self) -> Entry:
        return self.entries[0]

    @property
    def baseline(self) -> Entry:
        return next(entry for entry in self.entries if entry.row.is_baseline)


def cells_of(backbones: Sequence[str], strategies: Sequence[str]) -> list[Cell]:
    """Name the grid of the benchmark, in its order; files of other cells are not looked at."""
    return [Cell(backbone, strategy) for backbone in backbones for strategy in strategies]


def _row(metrics: MetricsRecord, predictions: Predictions, record: CellRecord | None) -> Row:
    interval = bootstrap_mean(predictions.correct_share)
    if not np.isclose(interval.estimate, metrics.mean["test_accuracy"], rtol=0, atol=1e-6):
        raise ArtifactError(
            f"{metrics.backbone}-{metrics.strategy}: expected predictions of test accuracy "
            f"{metrics.mean['test_accuracy']:.4f} as in metrics.json, found {interval.estimate:.4f}; run `dvc repro -f`"
        )
    best = record.best if record else None
    return Row(
        rank=0,
        backbone=metrics.backbone,
        strategy=metrics.strategy,
        weights=str(best.configuration["weights"]["name"]) if best else "none",
        test_accuracy_mean=metrics.mean["test_accuracy"],
        test_accuracy_sd=metrics.sd["test_accuracy"],
        test_accuracy_low=interval.low,
        test_accuracy_high=interval.high,
        val_accuracy_mean=metrics.mean["val_accuracy"],
        learning_rate=best.choice.learning_rate if best else None,
        weight_decay=best.choice.weight_decay if best else None,
        learning_rate_at_edge=best.learning_rate_at_edge if best else None,
        num_trials=best.num_trials if best else None,
        num_pruned=best.num_pruned if best else None,
        num_epochs=best.num_epochs if best else None,
        num_seeds=metrics.num_seeds,
        num_parameters=metrics.num_parameters,
        num_trainable_parameters=metrics.num_trainable_parameters,
    )


def _cell_entry(cell: Cell) -> Entry:
    record = read_cell(cell)
    predictions = read_predictions(cell.predictions, made_by=f"train@{cell}")
    return Entry(_row(record.metrics, predictions, record), record, predictions)


def _baseline_entry() -> Entry:
    metrics = read_metrics(artifacts.BASELINE / "metrics.json", made_by="baseline")
    predictions = read_predictions(artifacts.BASELINE_PREDICTIONS, made_by="baseline")
    return Entry(_row(metrics, predictions, None), None, predictions)


def rank(entries: Sequence[Entry]) -> Leaderboard:
    """Sort by mean test accuracy, ties by name, and measure how far each lies behind the best.

    Raises:
        ArtifactError: the entries are not of the same test images.
    """
    ordered = sorted(entries, key=lambda entry: (-entry.row.test_accuracy_mean, entry.row.name))
    best = ordered[0].predictions
    ranked = []
    for place, entry in enumerate(ordered, start=1):
        if not np.array_equal(entry.predictions.labels, best.labels):
            raise ArtifactError(
                f"{entry.row.name}: expected the test images of {ordered[0].row.name}, found others; run `dvc repro`"
            )
        behind = paired_difference(best.correct_share, entry.predictions.correct_share) if place > 1 else None
        ranked.append(replace(entry, row=replace(entry.row, rank=place), behind=behind))
    return Leaderboard(tuple(ranked))


def read_leaderboard(cells: Sequence[Cell]) -> Leaderboard:
    """Read every cell of the benchmark and the pixels, and rank them.

    Raises:
        ArtifactError: a cell is missing, or its files do not fit together.
    """
    return rank([*(_cell_entry(cell) for cell in cells), _baseline_entry()])


def summary(leaderboard: Leaderboard) -> dict[str, Any]:
    """Spell the result as plain values for `results/summary.json`."""
    best, second = leaderboard.best.row, leaderboard.entries[1]
    assert second.behind is not None
    by_backbone: dict[str, dict[str, float]] = {}
    for row in sorted(leaderboard.rows, key=lambda row: row.name):
        by_backbone.setdefault(row.backbone, {})[row.strategy] = row.test_accuracy_mean
    return {
        "best": {
            "backbone": best.backbone,
            "strategy": best.strategy,
            "test_accuracy_mean": best.test_accuracy_mean,
            "test_accuracy_sd": best.test_accuracy_sd,
        },
        "ahead_of_second": {"second": second.row.name, **asdict(second.behind)},
        "baseline": leaderboard.baseline.row.test_accuracy_mean,
        "num_cells": len(leaderboard.entries) - 1,
        "num_test_images": len(leaderboard.best.predictions.labels),
        "test_accuracy_mean": by_backbone,
    }
