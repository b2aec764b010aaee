"""What a cell leaves in `results/`: trials, choice, seeds and epoch curves, as values that are written and read."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from backbench import artifacts
from backbench.artifacts import Cell
from backbench.errors import ArtifactError
from backbench.statistics import mean_over_seeds, sd_over_seeds

Edge = Literal["none", "low", "high"]
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
COMPLETE, PRUNED = "COMPLETE", "PRUNED"


@dataclass(frozen=True)
class EpochRecord:
    """One epoch of one run; losses in nats, `learning_rate` as it stood at the epoch's end."""

    epoch: int
    learning_rate: float
    train_loss: float
    val_loss: float
    val_accuracy: float


@dataclass(frozen=True)
class TrialRecord:
    """One trial of a study; `val_loss` and `val_accuracy` are those of its best epoch.

    `state` is COMPLETE, or PRUNED where it ended before its time: `reason` says why, and is empty otherwise.
    `accumulation_steps` is in how many parts its batches passed, more than configured where memory ran out.
    """

    index: int
    boundary: str
    learning_rate: float
    weight_decay: float
    val_loss: float
    val_accuracy: float
    epochs: int
    state: str
    history: tuple[EpochRecord, ...]
    reason: str = ""
    accumulation_steps: int = 1

    @property
    def parameters(self) -> dict[str, float | str]:
        """What was tried, as tracking shows it."""
        parameters: dict[str, float | str] = {
            "boundary": self.boundary,
            "learning_rate": self.learning_rate,
            "weight_decay": self.weight_decay,
            "accumulation_steps": self.accumulation_steps,
            "state": self.state,
        }
        return {**parameters, "reason": self.reason} if self.reason else parameters

    @property
    def metrics(self) -> dict[str, float]:
        """What came of it, as tracking shows it."""
        return {"val_loss": self.val_loss, "val_accuracy": self.val_accuracy, "epochs": self.epochs}


def trial_of(stored: Mapping[str, Any]) -> TrialRecord:
    """Read a trial as `asdict` and JSON spell it."""
    history = tuple(EpochRecord(**epoch) for epoch in stored["history"])
    return TrialRecord(**{**stored, "history": history})


@dataclass(frozen=True)
class SeedRecord:
    """One final model; `metrics` holds `test_…` and `val_…` numbers."""

    seed: int
    metrics: dict[str, float]
    epochs: int
    history: tuple[EpochRecord, ...]


@dataclass(frozen=True)
class Choice:
    """The trial that the study chose."""

    trial: int
    boundary: str
    learning_rate: float
    weight_decay: float
    val_loss: float
    val_accuracy: float


@dataclass(frozen=True)
class BestRecord:
    """What a sweep hands on to training: `best.yaml`; `num_epochs` counts those of all trials together."""

    cell_key: str
    backbone: str
    strategy: str
    num_trials: int
    num_pruned: int
    num_epochs: int
    choice: Choice
    learning_rate_at_edge: Edge
    digests: dict[str, str]
    configuration: dict[str, Any]


@dataclass(frozen=True)
class MetricsRecord:
    """What training measured: `metrics.json`, of a cell or of the pixels.

    `sd` is None for one seed. `log_evidence` is LogME of the pretrained features, and `model_bytes` what the files of
    one model take; the pixels have neither.
    """

    cell_key: str
    backbone: str
    strategy: str
    boundary: str
    num_seeds: int
    num_parameters: int
    num_trainable_parameters: int
    log_evidence: float | None
    model_bytes: int | None
    mean: dict[str, float]
    sd: dict[str, float | None]
    seeds: dict[str, dict[str, float]]


@dataclass(frozen=True)
class CellRecord:
    """A finished cell, whole."""

    cell: Cell
    best: BestRecord
    metrics: MetricsRecord
    trials: tuple[TrialRecord, ...]
    seeds: tuple[SeedRecord, ...]


def _history_rows(owner: str, index: int, history: Iterable[EpochRecord]) -> list[dict[str, Any]]:
    return [{owner: index, **asdict(epoch)} for epoch in history]


def write_trials(cell: Cell, trials: Sequence[TrialRecord]) -> None:
    """Write `trials.csv` and `trial_history.csv`, ordered by trial."""
    ordered = sorted(trials, key=lambda trial: trial.index)
    rows = [{"trial": t.index, **{name: getattr(t, name) for name in TRIAL_COLUMNS[1:]}} for t in ordered]
    history = [row for trial in ordered for row in _history_rows("trial", trial.index, trial.history)]
    artifacts.write_csv(cell.trials, rows, TRIAL_COLUMNS)
    artifacts.write_csv(cell.trial_history, history, ("trial", *EPOCH_COLUMNS))


def write_best(cell: Cell, best: BestRecord) -> None:
    """Write `best.yaml`: the choice, frozen before the test split is read."""
    artifacts.write_yaml(cell.best, asdict(best))


def write_history(cell: Cell, seeds: Sequence[SeedRecord]) -> None:
    """Write `history.csv`, ordered by seed."""
    ordered = sorted(seeds, key=lambda seed: seed.seed)
    rows = [row for seed in ordered for row in _history_rows("seed", seed.seed, seed.history)]
    artifacts.write_csv(cell.history, rows, ("seed", *EPOCH_COLUMNS))


def summarise(
    seeds: Sequence[SeedRecord],
    *,
    cell_key: str,
    backbone: str,
    strategy: str,
    boundary: str,
    num_parameters: int,
    num_trainable_parameters: int,
    log_evidence: float | None,
    model_bytes: int | None,
) -> MetricsRecord:
    """Gather the seeds of a cell into mean and sample standard deviation (ddof 1; None for one seed)."""
    ordered = sorted(seeds, key=lambda seed: seed.seed)
    per_seed = [seed.metrics for seed in ordered]
    return MetricsRecord(
        cell_key=cell_key,
        backbone=backbone,
        strategy=strategy,
        boundary=boundary,
        num_seeds=len(ordered),
        num_parameters=num_parameters,
        num_trainable_parameters=num_trainable_parameters,
        log_evidence=log_evidence,
        model_bytes=model_bytes,
        mean=mean_over_seeds(per_seed),
        sd=sd_over_seeds(per_seed),
        seeds={str(seed.seed): {**seed.metrics, "epochs": seed.epochs} for seed in ordered},
    )


def write_metrics(path: Path, metrics: MetricsRecord) -> None:
    """Write `metrics.json` to `cell.metrics`, or to the baseline's folder."""
    artifacts.write_json(path, asdict(metrics))


def _epoch(row: Mapping[str, str]) -> EpochRecord:
    values = [float(row[name]) for name in EPOCH_COLUMNS[1:]]
    return EpochRecord(int(row["epoch"]), *values)


def _histories(path: Path, owner: str, made_by: str) -> dict[int, tuple[EpochRecord, ...]]:
    histories: dict[int, tuple[EpochRecord, ...]] = {}
    for row in artifacts.read_csv(path, made_by=made_by):
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
        for row in artifacts.read_csv(cell.trials, made_by=made_by)
    )


def read_best(cell: Cell) -> BestRecord:
    """Read what the sweep chose.

    Raises:
        ArtifactError: the file is missing, or is not of this form.
    """
    content = artifacts.read_yaml(cell.best, made_by=f"sweep@{cell}")
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
    content = artifacts.read_json(path, made_by=made_by)
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


def results_digest(record: CellRecord) -> str:
    """Name a finished cell by all that it found: equal results have equal digests."""
    return artifacts.fingerprint(asdict(record))
