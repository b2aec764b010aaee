"""What a cell leaves behind, as values: trials, choice, seeds, metrics, epochs; how they are read, what names them."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np
from pydantic import TypeAdapter, ValidationError

from backbench.runtime.errors import ArtifactError
from backbench.runtime.paths import Cell

Edge = Literal["none", "low", "high"]
COMPLETE, PRUNED = "COMPLETE", "PRUNED"
# What stands for a backbone in the row of logistic regression on raw pixels.
PIXELS = "pixels"
Record = TypeVar("Record")


@dataclass(frozen=True)
class EpochRecord:
    """One epoch of one run; losses in nats, `learning_rate` as it stood at the epoch's end.

    `fold` is that of a final model, None without folds, and of trials, which have their own.
    """

    epoch: int
    learning_rate: float
    train_loss: float
    val_loss: float
    val_accuracy: float
    fold: int | None = None


@dataclass(frozen=True)
class TrialRecord:
    """One trial of a study; `val_loss` and `val_accuracy` are those of its best epoch.

    `state` is COMPLETE, or PRUNED where it ended before its time: `reason` says why, and is empty otherwise.
    `accumulation_steps` is in how many parts its batches passed, more than configured where memory ran out. `fold` is
    the one that it trained and was judged in, None without folds.
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
    fold: int | None = None


# Reads a trial as `asdict` and JSON spell it.
trial_of = TypeAdapter(TrialRecord).validate_python


@dataclass(frozen=True)
class SeedRecord:
    """One final model, or those of a seed in all folds; `metrics` holds `test_…` and `val_…` numbers.

    Of folds, metrics are of all images, each predicted in the fold whose split it is in; epochs are added up.
    """

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
    """What a sweep hands on to training: `best.yaml`; `num_epochs` counts those of all trials together.

    `folds` has the choice of every fold, in their order, and is empty without folds. `choice` is then the one of them
    that has the lowest validation loss: it stands for the cell, and the exported model is of its fold.
    """

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
    folds: tuple[Choice, ...] = ()

    def choice_of(self, fold: int | None) -> Choice:
        return self.choice if fold is None else self.folds[fold]

    @property
    def fold(self) -> int | None:
        """The fold that `choice` is of."""
        return self.folds.index(self.choice) if self.folds else None


@dataclass(frozen=True)
class MetricsRecord:
    """What training measured: `metrics.json`, of a cell or of the pixels.

    `sd` is None for one seed. `logme` is LogME of the pretrained features, and `model_bytes` what the files of
    one model take; the pixels have neither.
    """

    cell_key: str
    backbone: str
    strategy: str
    boundary: str
    num_seeds: int
    num_parameters: int
    num_trainable_parameters: int
    logme: float | None
    model_bytes: int | None
    mean: dict[str, float]
    sd: dict[str, float | None]
    seeds: dict[str, dict[str, int | float]]


@dataclass(frozen=True)
class CellRecord:
    """A finished cell, whole."""

    cell: Cell
    best: BestRecord
    metrics: MetricsRecord
    trials: tuple[TrialRecord, ...]
    seeds: tuple[SeedRecord, ...]


def over_seeds(seeds: Sequence[SeedRecord]) -> dict[str, Any]:
    """Gather what a `MetricsRecord` says of its seeds: mean and sample standard deviation (ddof 1; None for one)."""
    ordered = sorted(seeds, key=lambda seed: seed.seed)
    values = {name: [seed.metrics[name] for seed in ordered] for name in ordered[0].metrics}
    return {
        "num_seeds": len(ordered),
        "mean": {name: float(np.mean(each)) for name, each in values.items()},
        "sd": {name: float(np.std(each, ddof=1)) if len(each) > 1 else None for name, each in values.items()},
        "seeds": {str(seed.seed): {**seed.metrics, "epochs": seed.epochs} for seed in ordered},
    }


def results_digest(record: CellRecord) -> str:
    """Name a finished cell by all that it found: equal results have equal digests."""
    return fingerprint(spelt(record))


def spelt(record: Any) -> dict[str, Any]:
    """Spell a record as plain values; without folds it says nothing of them."""

    def said(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        return {name: value for name, value in pairs if name not in ("fold", "folds") or value not in (None, ())}

    return asdict(record, dict_factory=said)


def record_of(kind: type[Record], content: Mapping[str, Any], path: Path, stage: str) -> Record:
    """Read a record, and those within it, from what a file holds; `stage` is what `dvc repro` is to be told.

    Raises:
        ArtifactError: the file is not of this form.
    """
    try:
        return TypeAdapter(kind).validate_python(content)
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors())
        raise ArtifactError(
            f"{path}: expected the keys of {kind.__name__}, found others ({wrong}); run `dvc repro {stage}`"
        ) from error


def fingerprint(*parts: Any) -> str:
    """Digest parts into 16 hexadecimal digits.

    Raises:
        TypeError: a part is not of JSON: an array or a path, say, which text would shorten or confuse with a string.
    """
    text = json.dumps(parts, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
