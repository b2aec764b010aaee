"""The tables of `results/`: which columns each has, and what of a leaderboard stands in them.

Those of trials, epochs and confusion are for DVC's plots, which colour and part a table by its columns but cannot lay
one cell's file beside another's.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from backbench.comparison.conclusions import RULE, class_warning
from backbench.comparison.leaderboard import ACCURACY, Leaderboard, value_at
from backbench.comparison.strategy_effects import rounded, strategy_effects, transferability
from backbench.comparison.uncertainty import selection_optimism
from backbench.data.arrays.file_formats import write_csv
from backbench.results.records import spelt
from backbench.results.result_files import EPOCH_COLUMNS, FOLD, TRIAL_COLUMNS, trial_row, with_fold
from backbench.runtime import paths

# The columns of results/leaderboard.csv, and where a row has each. None where the pixels have no such thing, or one
# seed has no spread. `num_epochs` counts those of all trials together, the pruned ones included; `model_bytes` is what
# the files of one model take, `num_macs` are those of the backbone for one image, and `enlarged_share` is the share of
# all images that have fewer pixels than the backbone takes.
LEADERBOARD = {
    "rank": "rank",
    "test_rank": "test_rank",
    "backbone": "backbone",
    "strategy": "strategy",
    "weights": "weights",
    "val_loss_mean": "val_loss",
    "val_accuracy_mean": "val_accuracy",
    "differs_from_chosen": "differs_from_chosen",
    "test_accuracy_mean": "test_accuracy",
    "test_accuracy_sd": "metrics.sd.test_accuracy",
    "test_accuracy_low": "interval.low",
    "test_accuracy_high": "interval.high",
    "test_balanced_accuracy_mean": "balanced_accuracy",
    "test_macro_f1_mean": "metrics.mean.test_macro_f1",
    "test_top_5_accuracy_mean": "metrics.mean.test_top_5_accuracy",
    "test_macro_auroc_mean": "metrics.mean.test_macro_auroc",
    "test_log_loss_mean": "metrics.mean.test_log_loss",
    "test_ece_mean": "metrics.mean.test_ece",
    "test_ece_after_temperature_scaling_mean": "metrics.mean.test_ece_after_temperature_scaling",
    "worst_class": "recalls.worst.name",
    "worst_class_recall": "recalls.worst.recall",
    "worst_class_num_images": "recalls.worst.num_images",
    "learning_rate": "record.best.choice.learning_rate",
    "weight_decay": "record.best.choice.weight_decay",
    "learning_rate_at_edge": "record.best.learning_rate_at_edge",
    "num_trials": "record.best.num_trials",
    "num_pruned": "record.best.num_pruned",
    "num_epochs": "record.best.num_epochs",
    "num_seeds": "metrics.num_seeds",
    "num_parameters": "metrics.num_parameters",
    "num_trainable_parameters": "metrics.num_trainable_parameters",
    "num_macs": "record.best.configuration.backbone.num_macs",
    "model_bytes": "metrics.model_bytes",
    "enlarged_share": "enlarged.share",
}
CELL_COLUMNS = ("backbone", "strategy")
# With more classes nobody could read the picture.
MOST_CLASSES = 40
CHOSEN = (
    *("backbone", "strategy", "val_loss_mean", "test_accuracy_mean", "test_accuracy_sd"),
    *("test_balanced_accuracy_mean", "test_rank", "worst_class", "worst_class_recall"),
)
PREDICTED = ("backbone", "logme", "test_accuracy")
# DVC's metrics show a file as a line and a key as a column: a few of the leaderboard's, by their short names.
SCORES = {
    "rank": "rank",
    "val_loss": "val_loss_mean",
    "val_accuracy": "val_accuracy_mean",
    "test_accuracy": "test_accuracy_mean",
    "sd": "test_accuracy_sd",
    "test_rank": "test_rank",
    "worst_recall": "worst_class_recall",
    "learning_rate": "learning_rate",
    "epochs": "num_epochs",
    "trained": "num_trainable_parameters",
}


@dataclass(frozen=True)
class Table:
    """A CSV file, its columns, and its rows of a leaderboard."""

    path: Path
    columns: tuple[str, ...]
    rows: Callable[[Leaderboard], Iterable[Mapping[str, Any]]]

    def columns_of(self, leaderboard: Leaderboard) -> tuple[str, ...]:
        """Return its columns; only those of a benchmark with folds have one of them."""
        return tuple(name for name in self.columns if name != FOLD or leaderboard.folds is not None)


def write_tables(leaderboard: Leaderboard) -> None:
    """Write every table."""
    for table in TABLES:
        write_csv(table.path, table.rows(leaderboard), table.columns_of(leaderboard))


def leaderboard_rows(leaderboard: Leaderboard) -> Iterator[dict[str, Any]]:
    """Yield every row, in the order of validation."""
    return ({name: value_at(row, path) for name, path in LEADERBOARD.items()} for row in leaderboard.rows)


def scores(leaderboard: Leaderboard) -> dict[str, dict[str, Any]]:
    """Return what one line of `dvc metrics show` says of each row, by the row's name."""
    return {row.name: {name: value_at(row, LEADERBOARD[of]) for name, of in SCORES.items()} for row in leaderboard.rows}


def comparison_rows(leaderboard: Leaderboard) -> Iterator[dict[str, Any]]:
    """Yield the chosen row against every other: its test accuracy minus the other's."""
    for pair in (row.on_test for row in leaderboard.rows if row.on_test is not None):
        p_values = {"p_value": rounded(pair.p_value), "adjusted_p_value": rounded(pair.adjusted_p_value)}
        gap = {"difference": pair.difference.estimate, "low": pair.difference.low, "high": pair.difference.high}
        yield {"first": pair.first, "second": pair.second, **gap, **p_values, "is_significant": pair.is_significant}


def interval_rows(leaderboard: Leaderboard) -> Iterator[dict[str, Any]]:
    """Yield every headline number with its 95 % interval."""
    for row in leaderboard.rows:
        for name, interval in sorted(row.intervals.items(), key=lambda item: (item[0] != ACCURACY, item[0])):
            ends = {"mean": interval.estimate, "low": interval.low, "high": interval.high}
            yield {"backbone": row.backbone, "strategy": row.strategy, "metric": f"test_{name}", **ends}


def trial_rows(leaderboard: Leaderboard) -> Iterator[dict[str, Any]]:
    """Yield every trial of every cell, in the order of the leaderboard; `chosen` are those of the final models."""
    for row, record in leaderboard.cells:
        for trial in record.trials:
            is_chosen = trial.index == record.best.choice_of(trial.fold).trial
            yield {"backbone": row.backbone, "strategy": row.strategy, **trial_row(trial), "chosen": is_chosen}


def epoch_rows(leaderboard: Leaderboard) -> Iterator[dict[str, Any]]:
    """Yield every epoch of every final model, in the order of the leaderboard."""
    for row, record in leaderboard.cells:
        for seed in record.seeds:
            for epoch in seed.history:
                yield {"backbone": row.backbone, "strategy": row.strategy, "seed": seed.seed, **spelt(epoch)}


def confusion_rows(leaderboard: Leaderboard) -> Iterator[dict[str, Any]]:
    """Yield how often the chosen row took which class for which, over all seeds; where never, there is no row."""
    classes, chosen = leaderboard.classes, leaderboard.chosen
    if len(classes) > MOST_CLASSES:
        return
    counts = chosen.predictions.confusion()
    for actual, predicted in np.argwhere(counts).tolist():
        pair = {"actual": classes[actual], "predicted": classes[predicted]}
        count = int(counts[actual, predicted])
        yield {"backbone": chosen.backbone, "strategy": chosen.strategy, **pair, "count": count}


def summary(leaderboard: Leaderboard) -> dict[str, Any]:
    """Spell the result as plain values for `results/summary.json`."""
    chosen, best = leaderboard.chosen, leaderboard.by_test[0]
    by_backbone: dict[str, dict[str, float]] = {}
    for row in sorted(leaderboard.rows, key=lambda row: row.name):
        by_backbone.setdefault(row.backbone, {})[row.strategy] = row.test_accuracy
    found = transferability(leaderboard.rows)
    return {
        "chosen": {name: value_at(chosen, LEADERBOARD[name]) for name in CHOSEN},
        "chosen_by": RULE,
        "warning": class_warning(chosen),
        "not_significantly_different": [row.name for row in leaderboard.similar],
        "significantly_better_on_test": [row.name for row in leaderboard.by_test if row.is_better_on_test],
        "best_on_test": {
            "backbone": best.backbone,
            "strategy": best.strategy,
            "test_accuracy_mean": best.test_accuracy,
            "selection_optimism": selection_optimism({row.name: row.resampled for row in leaderboard.rows}),
        },
        "baseline": leaderboard.baseline.test_accuracy,
        "strategies": [
            {**asdict(each), "is_significant": each.is_significant, "words": each.words}
            for each in strategy_effects(leaderboard)
        ],
        "transferability": {
            "backbones": [{name: getattr(each, name) for name in PREDICTED} for each in found.backbones],
            "spearman": found.spearman,
            "kendall": found.kendall,
        },
        "num_cells": len(leaderboard.cells),
        "failed": dict(leaderboard.failed),
        **({} if leaderboard.folds is None else {"num_folds": leaderboard.folds}),
        "num_test_images": chosen.resampled.num_images,
        "test_accuracy_mean": by_backbone,
    }


COMPARISON_COLUMNS = ("first", "second", "difference", "low", "high", "p_value", "adjusted_p_value", "is_significant")
TABLES = (
    Table(paths.LEADERBOARD, tuple(LEADERBOARD), leaderboard_rows),
    Table(paths.COMPARISONS, COMPARISON_COLUMNS, comparison_rows),
    Table(paths.INTERVALS, (*CELL_COLUMNS, "metric", "mean", "low", "high"), interval_rows),
    Table(paths.ALL_TRIALS, (*CELL_COLUMNS, *with_fold(TRIAL_COLUMNS, "trial", has_folds=True), "chosen"), trial_rows),
    Table(paths.ALL_EPOCHS, (*CELL_COLUMNS, "seed", FOLD, *EPOCH_COLUMNS), epoch_rows),
    Table(paths.CONFUSION, (*CELL_COLUMNS, "actual", "predicted", "count"), confusion_rows),
)
