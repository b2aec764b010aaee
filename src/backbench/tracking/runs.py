"""What an MLflow run says of a cell: parameters, tags and metrics, without secrets."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from backbench.results.fingerprints import fingerprint
from backbench.results.records import CellRecord, EpochRecord
from backbench.runtime import paths
from backbench.runtime.environment import look_around
from backbench.runtime.paths import Cell
from backbench.runtime.web_address import without_secrets

COMMIT = "mlflow.source.git.commit"
MAX_PARAMETER_CHARACTERS = 500
MAX_DATASET_DIGEST_CHARACTERS = 36
MAX_NOTE_CHARACTERS = 5000


def flattened(tree: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Spell a nested mapping as `a.b.c` to text of at most 500 characters; lists and null as JSON."""
    flat: dict[str, str] = {}
    for key, value in tree.items():
        if isinstance(value, Mapping):
            flat |= flattened(value, f"{prefix}{key}.")
        else:
            text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
            flat[f"{prefix}{key}"] = without_secrets(text)[:MAX_PARAMETER_CHARACTERS]
    return flat


def bounded(note: str) -> str:
    """Cut a note to what every store of MLflow takes of a tag."""
    return note if len(note) <= MAX_NOTE_CHARACTERS else f"{note[: MAX_NOTE_CHARACTERS - 1]}…"


def code_tags() -> dict[str, str]:
    """Name the commit that is checked out, by MLflow's tags, and whether what decides results differs from it."""
    around = look_around()
    if around.commit is None:
        return {COMMIT: "unknown"}
    return {COMMIT: around.commit, "mlflow.source.git.dirty": str(around.is_commit_changed).lower()}


def cell_parameters(configuration: Mapping[str, Any], digests: Mapping[str, str]) -> dict[str, Any]:
    """What a parent run is given when it begins: the resolved configuration, and digests of data and weights."""
    return {**configuration, "digests": dict(digests)}


def weights_tags(parameters: Mapping[str, Any]) -> dict[str, str]:
    """Name the weights of a cell, for its run and its children: digests of values and file, licence and source.

    Args:
        parameters: As `cell_parameters` makes them; without `weights` there is nothing to name.
    """
    weights, backbone = parameters.get("weights"), parameters.get("backbone", {})
    if not isinstance(weights, Mapping):
        return {}
    of_kind = {"published": backbone.get("pretrained"), "formula": backbone.get("formula"), "file": weights}
    origin, is_random = of_kind.get(weights["name"]) or {}, weights["name"] == "random"
    digests = parameters.get("digests", {})
    tags = {
        "weights_digest": digests.get("weights"),
        "weights_sha256": digests.get("weights_file"),
        "weights_licence": origin.get("licence") or ("none" if is_random else "not stated"),
        "weights_source": origin.get("url")
        or origin.get("file")
        or (f"random values of seed {weights.get('seed')}" if is_random else "a file"),
    }
    return {f"backbench.{name}": value for name, value in tags.items() if value}


def cell_labels(cell: Cell) -> dict[str, str]:
    """What a parent run is labelled with from its beginning."""
    return {"backbench.backbone": cell.backbone, "backbench.strategy": cell.strategy}


def cell_tags(record: CellRecord) -> dict[str, str]:
    """What a parent run is labelled with when it is finished."""
    best = record.best
    return {
        **cell_labels(record.cell),
        "backbench.boundary": record.metrics.boundary,
        "backbench.learning_rate_at_edge": best.learning_rate_at_edge,
    }


@dataclass(frozen=True, kw_only=True)
class Child:
    """A trial or a seed below its cell's run; `kind` says which, `index` is the trial's number or the seed itself."""

    kind: Literal["trial", "seed"]
    index: int
    parameters: Mapping[str, Any]
    metrics: Mapping[str, float]
    history: Sequence[EpochRecord]

    @property
    def name(self) -> str:
        """As the UI lists it: `trial 3 lr 7.3e-05`, `seed 0`."""
        rate = self.parameters.get("learning_rate")
        return f"{self.kind} {self.index}" if rate is None else f"{self.kind} {self.index} lr {rate:.1e}"

    @property
    def outcome(self) -> str:
        """A digest of what came of it: equal parameters, numbers and curves have equal digests."""
        numbers = {name: float(value) for name, value in self.metrics.items()}
        curves = [[(step, float(value)) for step, value in curve] for curve in epoch_curves(self.history).values()]
        return fingerprint(self.kind, self.index, flattened(self.parameters), numbers, curves)


def children_of(record: CellRecord) -> list[Child]:
    """List the trials and the seeds of a finished cell."""
    trials = [
        Child(kind="trial", index=each.index, parameters=each.parameters, metrics=each.metrics, history=each.history)
        for each in record.trials
    ]
    return trials + [
        Child(kind="seed", index=each.seed, parameters={"seed": each.seed}, metrics=each.metrics, history=each.history)
        for each in record.seeds
    ]


def cell_metrics(record: CellRecord) -> dict[str, float]:
    """What a parent run carries: the choice, the size, and mean and standard deviation over seeds."""
    metrics = record.metrics
    return {
        "learning_rate": record.best.choice.learning_rate,
        "weight_decay": record.best.choice.weight_decay,
        "num_parameters": metrics.num_parameters,
        "num_trainable_parameters": metrics.num_trainable_parameters,
        **{f"{name}_mean": value for name, value in metrics.mean.items()},
        **{f"{name}_sd": value for name, value in metrics.sd.items() if value is not None},
    }


def epoch_curves(history: Sequence[EpochRecord]) -> dict[str, list[tuple[int, float]]]:
    """Name the curves of a fit `epoch/…`, one point per epoch."""
    names = ("learning_rate", "train_loss", "val_loss", "val_accuracy")
    return {f"epoch/{name}": [(epoch.epoch, getattr(epoch, name)) for epoch in history] for name in names}


def dataset_input(parameters: Mapping[str, Any]) -> dict[str, str] | None:
    """Name the data set of a run whose parameters hold `dataset.name` and `digests.data`, else None.

    Returns:
        `name`, `digest` (MLflow takes 36 characters), `source_type` and `source` (JSON, with the whole digest).
    """
    dataset, digest = parameters.get("dataset"), parameters.get("digests", {}).get("data")
    name = dataset.get("name") if isinstance(dataset, Mapping) else dataset
    if not name or not digest:
        return None
    source = json.dumps({"path": paths.DATASET.as_posix(), "digest": digest})
    short = str(digest)[:MAX_DATASET_DIGEST_CHARACTERS]
    return {"name": str(name), "digest": short, "source_type": "local", "source": source}
