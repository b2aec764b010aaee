"""What MLflow is told of a cell, as plain values without secrets: its run, and those of its trials and seeds below."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from backbench.results.records import CellRecord, EpochRecord, SeedRecord, TrialRecord, fingerprint, results_digest
from backbench.runtime import paths
from backbench.runtime.environment import look_around
from backbench.runtime.paths import Cell
from backbench.runtime.web_address import without_secrets

KIND, RESULTS_DIGEST = "backbench.kind", "backbench.results_digest"
NOTE, COMMIT = "mlflow.note.content", "mlflow.source.git.commit"
MAX_PARAMETER_CHARACTERS = 500
MAX_DATASET_DIGEST_CHARACTERS = 36
MAX_NOTE_CHARACTERS = 5000
# Of a `TrialRecord`; an empty one is left out.
TRIED = ("fold", "boundary", "learning_rate", "weight_decay", "accumulation_steps", "state", "reason")
MEASURED = ("val_loss", "val_accuracy", "epochs")


@dataclass(frozen=True, kw_only=True)
class Child:
    """A run below its cell's; `kind` is trial or seed, `index` the trial's number or the seed itself."""

    kind: str
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
    def curves(self) -> dict[str, list[tuple[int, float]]]:
        """The curves of the fit, named `epoch/…`, one point per epoch; of folds `fold_0/epoch/…`."""
        folds = dict.fromkeys(epoch.fold for epoch in self.history) or {None: None}
        return {
            f"{'' if fold is None else f'fold_{fold}/'}epoch/{name}": [
                (epoch.epoch, getattr(epoch, name)) for epoch in self.history if epoch.fold == fold
            ]
            for fold in folds
            for name in ("learning_rate", "train_loss", "val_loss", "val_accuracy")
        }

    @property
    def outcome(self) -> str:
        """A digest of what came of it: equal parameters, numbers and curves have equal digests."""
        numbers = {name: float(value) for name, value in self.metrics.items()}
        curves = [[(step, float(value)) for step, value in curve] for curve in self.curves.values()]
        return fingerprint(self.kind, self.index, flattened(self.parameters), numbers, curves)


@dataclass(frozen=True, kw_only=True)
class CellRun:
    """A cell; `key` names its inputs, `parameters` are its resolved configuration and `digests` of data and weights.

    `results_digest` names all that it found, and is None while it computes: then `children` are those to be added.
    `files` are artifacts by folder.
    """

    key: str
    name: str
    parameters: Mapping[str, Any]
    tags: Mapping[str, str]
    children: Sequence[Child] = ()
    metrics: Mapping[str, float] = field(default_factory=dict)
    files: Mapping[str, Sequence[Path]] = field(default_factory=dict)
    results_digest: str | None = None


def begun_cell(cell: Cell, cell_key: str, configuration: Mapping[str, Any], digests: Mapping[str, str]) -> CellRun:
    """Spell a cell that computes."""
    tags = {"backbench.backbone": cell.backbone, "backbench.strategy": cell.strategy}
    parameters = {**configuration, "digests": dict(digests)}
    return CellRun(key=cell_key, name=str(cell), parameters=parameters, tags={**tags, **weights_tags(parameters)})


def finished_cell(
    record: CellRecord, tags: Mapping[str, str] | None = None, files: Mapping[str, Sequence[Path]] | None = None
) -> CellRun:
    """Spell a finished cell, every trial and seed, with what else is to be said of it."""
    best = record.best
    begun = begun_cell(record.cell, best.cell_key, best.configuration, best.digests)
    own = {"backbench.boundary": record.metrics.boundary, "backbench.learning_rate_at_edge": best.learning_rate_at_edge}
    return replace(
        begun,
        tags={**begun.tags, **own, **(tags or {})},
        children=[*map(child_of, record.trials), *map(child_of, record.seeds)],
        metrics=cell_metrics(record),
        files=files or {},
        results_digest=results_digest(record),
    )


def child_of(record: TrialRecord | SeedRecord) -> Child:
    """Spell a finished trial or a final model."""
    if isinstance(record, SeedRecord):
        of_seed = {"seed": record.seed}
        return Child(kind="seed", index=record.seed, parameters=of_seed, metrics=record.metrics, history=record.history)
    tried = {name: value for name in TRIED if (value := getattr(record, name)) not in ("", None)}
    metrics = {name: getattr(record, name) for name in MEASURED}
    return Child(kind="trial", index=record.index, parameters=tried, metrics=metrics, history=record.history)


def cell_metrics(record: CellRecord) -> dict[str, float]:
    """Gather the choice, the size, and mean and standard deviation over seeds."""
    metrics = record.metrics
    return {
        "learning_rate": record.best.choice.learning_rate,
        "weight_decay": record.best.choice.weight_decay,
        "num_parameters": metrics.num_parameters,
        "num_trainable_parameters": metrics.num_trainable_parameters,
        **{f"{name}_mean": value for name, value in metrics.mean.items()},
        **{f"{name}_sd": value for name, value in metrics.sd.items() if value is not None},
    }


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


def note_tag(note: str) -> dict[str, str]:
    """Name a note, in Markdown, as MLflow's UI looks for it, cut to what every store takes of a tag."""
    return {NOTE: note if len(note) <= MAX_NOTE_CHARACTERS else f"{note[: MAX_NOTE_CHARACTERS - 1]}…"}


def code_tags() -> dict[str, str]:
    """Name the commit that is checked out, by MLflow's tags, and whether what decides results differs from it."""
    around = look_around()
    if around.commit is None:
        return {COMMIT: "unknown"}
    return {COMMIT: around.commit, "mlflow.source.git.dirty": str(around.is_commit_changed).lower()}


def weights_tags(parameters: Mapping[str, Any]) -> dict[str, str]:
    """Name the weights of a `CellRun`, where it has any: digests of values and file, licence and source."""
    weights, backbone = parameters.get("weights"), parameters.get("backbone", {})
    if not isinstance(weights, Mapping):
        return {}
    keys = {"published": "pretrained", "formula": "formula", "imagenet": "imagenet"}
    origin = weights if weights["name"] == "file" else backbone.get(keys.get(weights["name"])) or {}
    is_random, package = weights["name"] == "random", origin.get("package") or {}
    otherwise = f"random values of seed {weights.get('seed')}" if is_random else "a file"
    spelled = f"package {package['name']} {package['version']}" if package else None
    digests = parameters.get("digests", {})
    tags = {
        "weights_digest": digests.get("weights"),
        "weights_sha256": digests.get("weights_file"),
        "weights_licence": origin.get("licence") or ("none" if is_random else "not stated"),
        "weights_source": origin.get("url") or origin.get("file") or spelled or otherwise,
    }
    return {f"backbench.{name}": value for name, value in tags.items() if value}


def dataset_input(parameters: Mapping[str, Any]) -> dict[str, str] | None:
    """Name the data set of a `CellRun` as MLflow's `Dataset` takes it, with the whole digest in `source`, or None."""
    name, digest = parameters.get("dataset", {}).get("name"), parameters.get("digests", {}).get("data")
    if not name or not digest:
        return None
    source = json.dumps({"path": paths.DATASET.as_posix(), "digest": digest})
    short = str(digest)[:MAX_DATASET_DIGEST_CHARACTERS]
    return {"name": name, "digest": short, "source_type": "local", "source": source}
