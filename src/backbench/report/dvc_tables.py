"""The whole benchmark as DVC shows it well: long tables for its plots, a few numbers per row for its metrics.

DVC's plots colour and part a table by its columns, but cannot lay one cell's file beside another's. Its metrics show a
file as a line and a key as a column.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from backbench.comparison.leaderboard import Entry, Leaderboard, Row
from backbench.evaluation.metrics import confusion
from backbench.results.records import CellRecord
from backbench.results.result_files import EPOCH_COLUMNS, TRIAL_COLUMNS

CELL_COLUMNS = ("backbone", "strategy")
TRIAL_TABLE_COLUMNS = (*CELL_COLUMNS, *TRIAL_COLUMNS, "chosen")
EPOCH_TABLE_COLUMNS = (*CELL_COLUMNS, "seed", *EPOCH_COLUMNS)
CONFUSION_COLUMNS = (*CELL_COLUMNS, "actual", "predicted", "count")
# With more classes nobody could read the picture.
MOST_CLASSES = 40


def trial_rows(leaderboard: Leaderboard) -> Iterator[dict[str, Any]]:
    """Yield every trial of every cell, in the order of the leaderboard; `chosen` are those of the final models."""
    for record in _records(leaderboard.entries):
        for trial in record.trials:
            values = {name: getattr(trial, name) for name in TRIAL_COLUMNS[1:]}
            is_chosen = trial.index == record.best.choice.trial
            yield {**_cell(record), "trial": trial.index, **values, "chosen": is_chosen}


def epoch_rows(leaderboard: Leaderboard) -> Iterator[dict[str, Any]]:
    """Yield every epoch of every final model, in the order of the leaderboard."""
    for record in _records(leaderboard.entries):
        for seed in record.seeds:
            for epoch in seed.history:
                yield {**_cell(record), "seed": seed.seed, **asdict(epoch)}


def confusion_rows(leaderboard: Leaderboard, classes: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Yield how often the chosen row took which class for which, over all seeds; where never, there is no row."""
    if len(classes) > MOST_CLASSES:
        return
    row, predictions = leaderboard.chosen.row, leaderboard.chosen.predictions
    counts = np.sum([confusion(each, predictions.labels) for each in predictions.probabilities], axis=0)
    for actual, predicted in np.argwhere(counts).tolist():
        pair = {"actual": classes[actual], "predicted": classes[predicted]}
        yield {"backbone": row.backbone, "strategy": row.strategy, **pair, "count": int(counts[actual, predicted])}


def scores(row: Row) -> dict[str, float | int | None]:
    """Return what one line of `dvc metrics show` says of a row."""
    return {
        "rank": row.rank,
        "val_loss": row.val_loss_mean,
        "val_accuracy": row.val_accuracy_mean,
        "test_accuracy": row.test_accuracy_mean,
        "sd": row.test_accuracy_sd,
        "test_rank": row.test_rank,
        "worst_recall": row.worst_class_recall,
        "learning_rate": row.learning_rate,
        "epochs": row.num_epochs,
        "trained": row.num_trainable_parameters,
    }


def _records(entries: Iterable[Entry]) -> Iterator[CellRecord]:
    return (entry.record for entry in entries if entry.record is not None)


def _cell(record: CellRecord) -> dict[str, str]:
    return {"backbone": record.cell.backbone, "strategy": record.cell.strategy}
