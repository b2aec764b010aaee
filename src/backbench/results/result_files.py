"""The files of a cell in `results/`: what `records.py` describes, written and read."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from backbench.data.arrays.file_formats import read_csv, read_json, read_yaml, write_csv, write_json, write_yaml
from backbench.results.records import (
    BestRecord,
    CellRecord,
    Choice,
    EpochRecord,
    MetricsRecord,
    SeedRecord,
    TrialRecord,
    record_of,
    spelt,
    trial_of,
)
from backbench.runtime.paths import Cell

FOLD = "fold"  # a column of cells with folds alone
EPOCH_COLUMNS = tuple(each.name for each in fields(EpochRecord) if each.name != FOLD)
TRIAL_COLUMNS = (*(each.name for each in fields(Choice)), "epochs", "accumulation_steps", "state", "reason")


def trial_row(trial: TrialRecord) -> dict[str, Any]:
    """Spell a trial by the columns of `trials.csv`."""
    of_fold = {} if trial.fold is None else {FOLD: trial.fold}
    return {"trial": trial.index, **of_fold, **{name: getattr(trial, name) for name in TRIAL_COLUMNS[1:]}}


def with_fold(columns: Sequence[str], after: str, *, has_folds: bool) -> tuple[str, ...]:
    """Return the columns of a table, with the one of folds behind another where there are any."""
    place = list(columns).index(after) + 1
    return (*columns[:place], *([FOLD] if has_folds else []), *columns[place:])


def write_trials(cell: Cell, trials: Sequence[TrialRecord]) -> None:
    """Write `trials.csv` and `trial_history.csv`, ordered by trial."""
    ordered = sorted(trials, key=lambda trial: trial.index)
    columns = with_fold(TRIAL_COLUMNS, "trial", has_folds=any(trial.fold is not None for trial in ordered))
    write_csv(cell.trials, map(trial_row, ordered), columns)
    _write_histories(cell.trial_history, "trial", {trial.index: trial.history for trial in ordered})


def write_best(cell: Cell, best: BestRecord) -> None:
    """Write `best.yaml`: the choice, frozen before the test split is read."""
    write_yaml(cell.best, spelt(best))


def write_history(cell: Cell, seeds: Sequence[SeedRecord]) -> None:
    """Write `history.csv`, ordered by seed."""
    _write_histories(
        cell.history, "seed", {seed.seed: seed.history for seed in sorted(seeds, key=lambda each: each.seed)}
    )


def _write_histories(path: Path, owner: str, histories: Mapping[int, Iterable[EpochRecord]]) -> None:
    rows = [{owner: index, **spelt(epoch)} for index, history in histories.items() for epoch in history]
    write_csv(path, rows, with_fold((owner, *EPOCH_COLUMNS), owner, has_folds=any(FOLD in row for row in rows)))


def _histories(path: Path, owner: str, made_by: str) -> dict[int, list[dict[str, str]]]:
    histories: dict[int, list[dict[str, str]]] = {}
    for row in read_csv(path, made_by=made_by):
        histories.setdefault(int(row.pop(owner)), []).append(row)
    return histories


def write_metrics(path: Path, metrics: MetricsRecord) -> None:
    """Write `metrics.json` to `cell.metrics`, or to the baseline's folder."""
    write_json(path, asdict(metrics))


def read_trials(cell: Cell) -> tuple[TrialRecord, ...]:
    """Read every trial of a cell's study with its epochs.

    Raises:
        ArtifactError: a file is missing.
    """
    made_by = f"sweep@{cell}"
    histories = _histories(cell.trial_history, "trial", made_by)
    rows = read_csv(cell.trials, made_by=made_by)
    return tuple(
        trial_of({**row, "index": row["trial"], "history": histories.get(int(row["trial"]), ())}) for row in rows
    )


def read_best(cell: Cell) -> BestRecord:
    """Read what the sweep chose.

    Raises:
        ArtifactError: the file is missing, or is not of this form.
    """
    made_by = f"sweep@{cell}"
    return record_of(BestRecord, read_yaml(cell.best, made_by=made_by), cell.best, f"-f {made_by}")


def read_metrics(path: Path, *, made_by: str) -> MetricsRecord:
    """Read `metrics.json` of a cell or of the pixels.

    Raises:
        ArtifactError: the file is missing, or is not of this form.
    """
    return record_of(MetricsRecord, read_json(path, made_by=made_by), path, f"-f {made_by}")


def read_cell(cell: Cell) -> CellRecord:
    """Read a finished cell from `results/` alone.

    Raises:
        ArtifactError: a file is missing, or is not of the expected form.
    """
    made_by = f"train@{cell}"
    metrics = read_metrics(cell.metrics, made_by=made_by)
    histories = _histories(cell.history, "seed", made_by)
    seeds = []
    for seed, values in metrics.seeds.items():
        found = {name: value for name, value in values.items() if name != "epochs"}
        content = {"seed": seed, "metrics": found, "epochs": values["epochs"], "history": histories.get(int(seed), ())}
        seeds.append(record_of(SeedRecord, content, cell.metrics, f"-f {made_by}"))
    return CellRecord(cell, read_best(cell), metrics, read_trials(cell), tuple(seeds))
