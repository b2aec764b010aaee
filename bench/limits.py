"""Arm `limits`: what the arithmetic alone costs, with everything built and traced beforehand."""

import time
from itertools import islice
from pathlib import Path

import keras
import numpy as np

from backbench.adaptation.schedule import shuffled_batches
from backbench.features.activations import EVALUATION_BATCH_SIZE
from backbench.features.freezing import CutModel, cut, freeze_batch_norm, resolve_boundary
from bench.images import load_images
from bench.rows import Measurement
from bench.start import load_head, load_start, new_head
from bench.studies import Study
from bench.textbook import steps_per_epoch

PREDICT, PREFIX, EPOCH = "predict", "prefix", "epoch"


class Limits:
    """The backbone over the images once; the frozen part once; an epoch of the trained part on kept activations."""

    def __init__(self, study: Study, folder: Path) -> None:
        self._study = study
        self._images = load_images(study, folder)
        base = load_start(study, folder)
        (boundary,) = study.config.strategy.boundaries
        halves = cut(base, resolve_boundary(base, study.config.backbone, boundary))
        assert halves.prefix is not None
        self._base, self._prefix = base, halves.prefix
        self._trained = self._trained_part(halves, load_head(folder))
        for model in (self._base, self._prefix):
            model.compile(jit_compile=False)

    def measure(self, trial: str) -> list[Measurement]:
        """Time `predict` of backbone and prefix over all images, and one epoch of the trained part."""
        assert trial == PREDICT
        predict, _ = self._predicted(self._base)
        prefix, activations = self._predicted(self._prefix) if self._prefix is not self._base else (predict, _)
        return [
            Measurement(trial=PREDICT, seconds=predict),
            Measurement(trial=PREFIX, seconds=prefix),
            Measurement(trial=EPOCH, seconds=self._epoch_seconds(activations)),
        ]

    def _trained_part(self, halves: CutModel, head_values: list[np.ndarray]) -> keras.Model:
        model = head = new_head(self._study, num_classes=int(self._images.train_labels.max()) + 1)
        head.set_weights(head_values)
        if halves.suffix is not None:
            freeze_batch_norm(halves.suffix)
            activations = keras.Input(halves.suffix.input_shape[1:])
            model = keras.Model(activations, head(halves.suffix(activations)))
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(keras.optimizers.AdamW(1e-5), loss, jit_compile=False)
        return model

    def _predicted(self, model: keras.Model) -> tuple[float, np.ndarray]:
        images = self._images.both
        model.predict(images[:EVALUATION_BATCH_SIZE], batch_size=EVALUATION_BATCH_SIZE, verbose=0)
        started = time.perf_counter()
        values = model.predict(images, batch_size=EVALUATION_BATCH_SIZE, verbose=0)
        return time.perf_counter() - started, values

    def _epoch_seconds(self, activations: np.ndarray) -> float:
        study, num_train = self._study, len(self._images.train)
        batches = shuffled_batches(num_train, study.config.strategy.batch_size, study.config.search.seed)
        val, labels = activations[num_train:], self._images.train_labels
        first = next(batches)
        self._trained.train_on_batch(activations[first], labels[first])
        self._trained.predict(val, batch_size=EVALUATION_BATCH_SIZE, verbose=0)
        started = time.perf_counter()
        for chosen in islice(batches, steps_per_epoch(study, num_train)):
            self._trained.train_on_batch(activations[chosen], labels[chosen])
        self._trained.predict(val, batch_size=EVALUATION_BATCH_SIZE, verbose=0)
        return time.perf_counter() - started
