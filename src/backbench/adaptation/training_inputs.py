"""What trains of a cell, and on what: its inputs with the models and data that they name."""

from collections.abc import Callable
from functools import cache, cached_property

import keras

from backbench.adaptation.memory import available_bytes, require_memory
from backbench.adaptation.strategies import TrainablePart
from backbench.backbones.determinism import computing_in, make_deterministic
from backbench.backbones.weights import load_backbone
from backbench.config.strategy_config import ON_THE_FLY, OUTPUT
from backbench.features.activation_store import prepared_images, read_activations
from backbench.features.activations import UNLIMITED_VIEWS, ActivationSource, ChosenExamples, ComputedActivations
from backbench.features.freezing import CutModel, cut, resolve_boundary
from backbench.results.cell_inputs import CellInputs
from backbench.results.store_record import BoundaryRecord


class TrainingInputs(CellInputs):
    """A cell's inputs, with the models and the data that they name."""

    def activations(self, split: str, boundary: str | None = None, *, fold: int | None = None) -> ActivationSource:
        """Return activations at one of `boundaries`, None for the first: from their file, or computed where none is.

        Those of a split in a fold are rows of one file of all images, which is opened once.
        """
        layer, num_views = self.boundary_record(boundary).boundary, self._num_views(split)
        source = self._source(layer, self.dataset.array_of(split), num_views)
        return source if fold is None else ChosenExamples(source, self.dataset.rows(split, fold), num_views)

    def prefix(self, boundary: str) -> keras.Model | None:
        """Load the frozen part below one of `boundaries`; None at `input`, where nothing is frozen."""
        return self._cut(self._frozen_backbone, self.boundary_record(boundary)).prefix

    def trainable_part(self, boundary: str | None = None) -> TrainablePart:
        """Build the model that trains; the backbone itself only where a part of it trains."""
        self._make_deterministic(self.config.search.seed)
        record = self.boundary_record(boundary)
        suffix = None if record.boundary == OUTPUT else self._cut(self._loaded_backbone(), record).suffix
        if suffix is not None:
            require_memory(suffix, self.config.strategy, available_bytes())
        return TrainablePart(
            suffix,
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
    def _source(self) -> Callable[[str, str, int], ActivationSource]:
        return cache(self._opened)

    def _opened(self, boundary: str, array: str, num_views: int) -> ActivationSource:
        record, labels = self.boundary_record(boundary), self.dataset.labels[array]
        # Of views that are made on the fly, no more than the images themselves are stored.
        if record.stored[array] and num_views != UNLIMITED_VIEWS:
            return read_activations(self.cell.activations, record.boundary, array, labels)
        prefix = self._cut(self._frozen_backbone, record).prefix
        return ComputedActivations(prepared_images(self.config, array), labels, prefix, num_views)

    @cached_property
    def _frozen_backbone(self) -> keras.Model:
        """The backbone that computes what is not stored: never one whose layers a trainable part trains."""
        self._make_deterministic(self.config.weights.seed)
        return self._loaded_backbone()

    def _num_views(self, split: str) -> int:
        if split != "train":
            return 1
        return UNLIMITED_VIEWS if self.store.views == ON_THE_FLY else int(self.store.views)
