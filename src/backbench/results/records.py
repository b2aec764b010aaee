"""What a cell leaves behind, as values: trials, choice, seeds, metrics and epoch curves."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, TypedDict

import numpy as np
from pydantic import TypeAdapter

from backbench.results.fingerprints import fingerprint
from backbench.runtime.paths import Cell

Edge = Literal["none", "low", "high"]
COMPLETE, PRUNED = "COMPLETE", "PRUNED"
# What stands for a backbone in the row of logistic regression on raw pixels.
PIXELS = "pixels"


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


# Reads a trial as `asdict` and JSON spell it.
trial_of = TypeAdapter(TrialRecord).validate_python


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


class OverSeeds(TypedDict):
    """What a `MetricsRecord` says of its seeds."""

    num_seeds: int
    mean: dict[str, float]
    sd: dict[str, float | None]
    seeds: dict[str, dict[str, int | float]]


def over_seeds(seeds: Sequence[SeedRecord]) -> OverSeeds:
    """Gather every metric's mean and sample standard deviation (ddof 1; None for one seed) over seeds."""
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
    return fingerprint(asdict(record))
