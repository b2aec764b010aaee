"""A backbone and the weights that it starts from, measured; and the file that keeps every measurement."""

from dataclasses import dataclass
from pathlib import Path

import keras

from backbench.backbones.weights import load_backbone
from backbench.config.backbone_config import BackboneConfig, WeightsConfig
from backbench.data.arrays.file_formats import read_csv, write_csv
from backbench.runtime import paths
from backbench.runtime.errors import ConfigError
from backbench.runtime.locks import file_lock
from pretraining.config import TransferConfig
from pretraining.transfer.data import kept_features
from pretraining.transfer.fine_tuning import FineTuner, recipe_of
from pretraining.transfer.measurements import (
    COLUMNS,
    FINE_TUNING,
    NEAREST_NEIGHBOUR,
    RANDOM,
    Key,
    Rows,
    from_records,
    to_records,
    with_row,
)
from pretraining.transfer.probes import linear_probe, nearest_neighbour
from pretraining.transfer.subsets import Measurement, TargetData, few_shot_task


@dataclass
class Results:
    """The CSV file of the measurements, which several processes add to."""

    path: Path

    def read(self) -> Rows:
        return from_records(read_csv(self.path, made_by="transfer")) if self.path.is_file() else {}

    def add(self, key: Key, measurement: Measurement) -> None:
        with file_lock(paths.LOCKS / f"{self.path.name}.lock"):
            rows = with_row(self.read(), key, measurement)
            write_csv(self.path, to_records(rows), COLUMNS)


@dataclass
class Start:
    """A backbone with the weights that it starts from; `seed` draws them where they are random, else it is 0."""

    backbone: BackboneConfig
    weights: str
    seed: int
    features: Path
    _frozen: keras.Model | None = None
    _tuner: tuple[tuple[str, int], FineTuner] | None = None

    @property
    def sha256(self) -> str:
        if self.weights == RANDOM:
            return RANDOM
        if self.backbone.formula is None:
            raise ConfigError(
                f"expected `formula` in conf/backbone/{self.backbone.name}.yaml, found none; name slim backbones"
            )
        return self.backbone.formula.sha256

    def load(self) -> keras.Model:
        return load_backbone(self.backbone, WeightsConfig(name=self.weights, seed=self.seed))

    def release(self) -> None:
        """Let go of what was built; the next start needs the memory."""
        self._frozen = self._tuner = None

    def _features_model(self) -> keras.Model:
        if self._frozen is None:
            self._frozen = self.load()
        return self._frozen

    def measure(self, key: Key, config: TransferConfig, data: TargetData, rates: list[float] | None) -> Measurement:
        """Draw the task of one row, and measure it."""
        pool, test = data.pool_images, data.test_images
        if key.method != FINE_TUNING:
            weights = f"random{self.seed}" if self.weights == RANDOM else self.sha256
            pool, test = kept_features(self.features, weights, self._features_model, self.backbone, data)
        task = few_shot_task(
            data, pool, test, per_class=key.per_class, val_per_class=config.val_per_class, seed=key.seed
        )
        if key.method == FINE_TUNING:
            return self._tuner_of(key, config).measure(task, seed=key.seed, rates=rates)
        return (nearest_neighbour if key.method == NEAREST_NEIGHBOUR else linear_probe)(task)

    def _tuner_of(self, key: Key, config: TransferConfig) -> FineTuner:
        """Keep the last one: it is built and traced once for all seeds of formula weights."""
        cell = key.dataset, key.per_class
        if self._tuner is None or self._tuner[0] != cell:
            # A model of its own: what trains must not be what computes frozen features.
            from_scratch = self.weights == RANDOM
            recipe = recipe_of(config, self.backbone.name, from_scratch=from_scratch)
            tuner = FineTuner(self.load(), self.backbone, recipe, from_scratch=from_scratch)
            self._tuner = cell, tuner
        return self._tuner[1]
