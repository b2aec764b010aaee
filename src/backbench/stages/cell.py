"""What the sweep and the train stage of a cell share: their inputs and their names."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import keras

from backbench import artifacts
from backbench.activation_store import BoundaryRecord, StoreRecord, prepared_images, read_activations, read_store
from backbench.activations import UNLIMITED_VIEWS, ActivationSource, ComputedActivations
from backbench.artifacts import Cell
from backbench.backbones.weights import load_backbone
from backbench.config import ON_THE_FLY, OUTPUT, CellConfig, resolved
from backbench.data.dataset import Dataset, open_dataset
from backbench.determinism import computing_in, make_deterministic
from backbench.errors import BoundaryError
from backbench.freezing import CutModel, cut, resolve_boundary
from backbench.memory import available_bytes, require_memory
from backbench.strategies import Adapter


@dataclass(frozen=True)
class CellInputs:
    """What an earlier stage left for a cell, and the names that follow from it.

    `cell_key` names the experiment (configuration, data, weights); the state folder's name adds the code.
    """

    cell: Cell
    config: CellConfig
    dataset: Dataset
    store: StoreRecord

    @property
    def digests(self) -> dict[str, str]:
        """Of the data, of the weights' values, and of the file that they came from, where they came from one."""
        digests = {"data": self.dataset.digest, "weights": self.store.weights_digest}
        return digests if self.store.weights_file is None else {**digests, "weights_file": self.store.weights_file}

    @property
    def configuration(self) -> dict[str, Any]:
        """What decides the cell's choice, as plain values; the backend too, whose random numbers are its own."""
        return {**resolved(self.config), "backend": keras.backend.backend()}

    @property
    def cell_key(self) -> str:
        return artifacts.fingerprint(self.configuration, self.digests)

    def state_folder(self, stage: str, *more: Any) -> Path:
        """Return the folder for what a killed stage needs to go on; other inputs or other code, another folder."""
        name = artifacts.fingerprint(self.cell_key, artifacts.code_fingerprint(), *more)
        return artifacts.STATE / stage / str(self.cell) / name

    @property
    def boundaries(self) -> tuple[str, ...]:
        """The layers at which the strategy may freeze this backbone, `output` and `input` among them."""
        return tuple(dict.fromkeys(record.boundary for record in self.store.boundaries))

    def boundary_record(self, boundary: str | None = None) -> BoundaryRecord:
        """Return what embed says of one of `boundaries`; None is the first.

        Raises:
            BoundaryError: it is none of them.
        """
        for record in self.store.boundaries:
            if boundary in (None, record.boundary):
                return record
        raise BoundaryError(
            f"expected a freeze boundary of {self.cell}, one of {', '.join(self.boundaries)}, found {boundary!r}; "
            "use one of them, or change conf/strategy and run embed"
        )

    def activations(self, split: str, boundary: str | None = None) -> ActivationSource:
        """Return activations at one of `boundaries`, None for the first: from their file, or computed where none is."""
        record, labels = self.boundary_record(boundary), self.dataset.labels[split]
        if record.stored[split]:
            return read_activations(self.cell.activations, record.boundary, split, labels)
        prefix = self._cut(self._frozen_backbone, record).prefix
        return ComputedActivations(prepared_images(self.config, split), labels, prefix, self._num_views(split))

    def prefix(self, boundary: str) -> keras.Model | None:
        """Load the frozen part below one of `boundaries`; None at `input`, where nothing is frozen."""
        return self._cut(self._frozen_backbone, self.boundary_record(boundary)).prefix

    def adapter(self, boundary: str | None = None) -> Adapter:
        """Build the model that trains; the backbone itself only where a part of it trains."""
        self._make_deterministic(self.config.search.seed)
        record = self.boundary_record(boundary)
        if record.boundary == OUTPUT:
            cut_model = CutModel(OUTPUT, prefix=None, suffix=None)
        else:
            cut_model = self._cut(self._loaded_backbone(), record)
            if cut_model.suffix is not None:
                require_memory(cut_model.suffix, self.config.strategy, available_bytes())
        return Adapter(
            cut_model,
            self.config.backbone,
            self.config.strategy,
            num_classes=len(self.dataset.classes),
            xla=self.config.benchmark.xla,
        )

    def _make_deterministic(self, seed: int) -> None:
        benchmark = self.config.benchmark
        make_deterministic(seed, num_threads=benchmark.threads, memory_growth=benchmark.memory_growth)

    def _loaded_backbone(self) -> keras.Model:
        with computing_in(self.config.benchmark.precision):
            return load_backbone(self.config.backbone, self.config.weights)

    def _cut(self, backbone: keras.Model, record: BoundaryRecord) -> CutModel:
        """Cut anew from what the strategy says: Keras numbers nameless layers by how many the process has built."""
        return cut(backbone, resolve_boundary(backbone, self.config.backbone, record.name))

    @cached_property
    def _frozen_backbone(self) -> keras.Model:
        """The backbone that computes what is not stored: never one whose layers an adapter trains."""
        self._make_deterministic(self.config.weights.seed)
        return self._loaded_backbone()

    def _num_views(self, split: str) -> int:
        if split != "train":
            return 1
        return UNLIMITED_VIEWS if self.store.views == ON_THE_FLY else int(self.store.views)


def cell_inputs(config: CellConfig) -> CellInputs:
    """Read what prepare and embed left for a cell.

    Raises:
        ArtifactError: an earlier stage has not run.
    """
    cell = Cell(config.backbone.name, config.strategy.name)
    return CellInputs(cell, config, open_dataset(artifacts.DATASET), read_store(cell.activations))
