"""The files of a cell in `results/`: what `records.py` describes, written and read."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from backbench.data.file_formats import read_csv, read_json, read_yaml, write_csv, write_json, write_yaml
from backbench.results.records import (
    BestRecord,
    CellRecord,
    Choice,
    EpochRecord,
    MetricsRecord,
    SeedRecord,
    TrialRecord,
)
from backbench.runtime.errors import ArtifactError
from backbench.runtime.paths import Cell

EPOCH_COLUMNS = ("epoch", "learning_rate", "train_loss", "val_loss", "val_accuracy")
TRIAL_COLUMNS = (
    "trial",
    "boundary",
    "learning_rate",
    "weight_decay",
    "val_loss",
    "val_accuracy",
    "epochs",
    "accumulation_steps",
    "state",
    "reason",
)


def _history_rows(owner: str, index: int, history: Iterable[EpochRecord]) -> list[dict[str, Any]]:
    return [{owner: index, **asdict(epoch)} for epoch in history]


def write_trials(cell: Cell, trials: Sequence[TrialRecord]) -> None:
    """Write `trials.csv` and `trial_history.csv`, ordered by trial."""
    ordered = sorted(trials, key=lambda trial: trial.index)
    rows = [{"trial": t.index, **{name: getattr(t, name) for name in TRIAL_COLUMNS[1:]}} for t in ordered]
    history = [row for trial in ordered for row in _history_rows("trial", trial.index, trial.history)]
    write_csv(cell.trials, rows, TRIAL_COLUMNS)
    write_csv(cell.trial_history, history, ("trial", *EPOCH_COLUMNS))


def write_best(cell: Cell, best: BestRecord) -> None:
    """Write `best.yaml`: the choice, frozen before the test split is read."""
    write_yaml(cell.best, asdict(best))


def write_history(cell: Cell, seeds: Sequence[SeedRecord]) -> None:
    """Write `history.csv`, ordered by seed."""
    ordered = sorted(seeds, key=lambda seed: seed.seed)
    rows = [row for seed in ordered for row in _history_rows("seed", seed.seed, seed.history)]
    write_csv(cell.history, rows, ("seed", *EPOCH_COLUMNS))


def write_metrics(path: Path, metrics: MetricsRecord) -> None:
    """Write `metrics.json` to `cell.metrics`, or to the baseline's folder."""
    write_json(path, asdict(metrics))


def _epoch(row: Mapping[str, str]) -> EpochRecord:
    values = [float(row[name]) for name in EPOCH_COLUMNS[1:]]
    return EpochRecord(int(row["epoch"]), *values)


def _histories(path: Path, owner: str, made_by: str) -> dict[int, tuple[EpochRecord, ...]]:
    histories: dict[int, tuple[EpochRecord, ...]] = {}
    for row in read_csv(path, made_by=made_by):
        index = int(row[owner])
        histories[index] = (*histories.get(index, ()), _epoch(row))
    return histories


def read_trials(cell: Cell) -> tuple[TrialRecord, ...]:
    """Read every trial of a cell's study with its epochs.

    Raises:
        ArtifactError: a file is missing.
    """
    made_by = f"sweep@{cell}"
    histories = _histories(cell.trial_history, "trial", made_by)
    return tuple(
        TrialRecord(
            index=int(row["trial"]),
            boundary=row["boundary"],
            learning_rate=float(row["learning_rate"]),
            weight_decay=float(row["weight_decay"]),
            val_loss=float(row["val_loss"]),
            val_accuracy=float(row["val_accuracy"]),
            epochs=int(row["epochs"]),
            state=row["state"],
            history=histories.get(int(row["trial"]), ()),
            reason=row["reason"],
            accumulation_steps=int(row["accumulation_steps"]),
        )
        for row in read_csv(cell.trials, made_by=made_by)
    )


def read_best(cell: Cell) -> BestRecord:
    """Read what the sweep chose.

    Raises:
        ArtifactError: the file is missing, or is not of this form.
    """
    content = read_yaml(cell.best, made_by=f"sweep@{cell}")
    try:
        return BestRecord(**{**content, "choice": Choice(**content["choice"])})
    except (KeyError, TypeError) as error:
        raise ArtifactError(
            f"{cell.best}: expected the keys of BestRecord, found others ({error}); run `dvc repro -f sweep@{cell}`"
        ) from error


def read_metrics(path: Path, *, made_by: str) -> MetricsRecord:
    """Read `metrics.json` of a cell or of the pixels.

    Raises:
        ArtifactError: the file is missing, or is not of this form.
    """
    content = read_json(path, made_by=made_by)
    try:
        return MetricsRecord(**content)
    except TypeError as error:
        raise ArtifactError(
            f"{path}: expected the keys of MetricsRecord, found others ({error}); run `dvc repro -f {made_by}`"
        ) from error


def read_cell(cell: Cell) -> CellRecord:
    """Read a finished cell from `results/` alone.

    Raises:
        ArtifactError: a file is missing, or is not of the expected form.
    """
    made_by = f"train@{cell}"
    metrics = read_metrics(cell.metrics, made_by=made_by)
    histories = _histories(cell.history, "seed", made_by)
    seeds = tuple(
        SeedRecord(
            seed=int(seed),
            metrics={name: value for name, value in values.items() if name != "epochs"},
            epochs=int(values["epochs"]),
            history=histories.get(int(seed), ()),
        )
        for seed, values in metrics.seeds.items()
    )
    return CellRecord(cell, read_best(cell), metrics, read_trials(cell), seeds)
