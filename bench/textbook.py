"""Arm `textbook`: a frozen Keras application in the model, built anew and fitted on images for every trial.

Source:
    Keras's guide to transfer learning, https://keras.io/guides/transfer_learning/.
"""

import math
import time
from itertools import islice
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from backbench.adaptation.schedule import learning_rate_at, shuffled_batches
from backbench.config.strategy_config import OUTPUT
from backbench.features.activations import EVALUATION_BATCH_SIZE
from bench.images import Images, load_images
from bench.learning_rates import learning_rates
from bench.rows import Measurement
from bench.start import load_head, load_start, new_head
from bench.studies import Study


class Rates(keras.optimizers.schedules.LearningRateSchedule):
    """The study's schedule, one learning rate per step."""

    def __init__(self, study: Study, num_examples: int, peak: float) -> None:
        strategy = study.config.strategy
        num_steps = strategy.epochs * steps_per_epoch(study, num_examples)
        warmup = int(strategy.warmup_fraction * num_steps)
        rates = [
            learning_rate_at(step, num_steps=num_steps, warmup_steps=warmup, peak=peak) for step in range(num_steps)
        ]
        self._rates = keras.ops.convert_to_tensor(np.array(rates, dtype="float32"))

    def __call__(self, step: keras.KerasTensor) -> keras.KerasTensor:
        return keras.ops.take(self._rates, keras.ops.cast(step, "int32"))


class FirstStep(keras.callbacks.Callback):
    """Note when the first training step ends."""

    def __init__(self) -> None:
        super().__init__()
        self.ended: float | None = None

    def on_train_batch_end(self, batch: int, logs: object = None) -> None:
        if self.ended is None:
            self.ended = time.perf_counter()


def steps_per_epoch(study: Study, num_examples: int) -> int:
    """Count the steps of an epoch; its last batch is filled from the next."""
    return math.ceil(num_examples / study.config.strategy.batch_size)


def train_batches(study: Study, images: Images) -> tf.data.Dataset:
    """Gather this project's batches in this project's order, so that equal trials can be compared by outcome."""
    strategy, num_examples = study.config.strategy, len(images.train)
    num_steps = strategy.epochs * steps_per_epoch(study, num_examples)
    order = islice(shuffled_batches(num_examples, strategy.batch_size, study.config.search.seed), num_steps)
    values, labels = tf.constant(images.train), tf.constant(images.train_labels)
    batches = tf.data.Dataset.from_tensor_slices(np.stack(list(order)))
    gathered = batches.map(lambda chosen: (tf.gather(values, chosen), tf.gather(labels, chosen)), tf.data.AUTOTUNE)
    return gathered.prefetch(tf.data.AUTOTUNE)


def val_batches(images: Images) -> tf.data.Dataset:
    """Batch the validation images in order."""
    return tf.data.Dataset.from_tensor_slices((images.val, images.val_labels)).batch(EVALUATION_BATCH_SIZE).prefetch(1)


def fit_arguments(study: Study, images: Images) -> dict[str, Any]:
    """Return what `fit` takes, and KerasTuner's `search`, which hands it on."""
    return {
        "x": train_batches(study, images),
        "validation_data": val_batches(images),
        "epochs": study.config.strategy.epochs,
        "steps_per_epoch": steps_per_epoch(study, len(images.train)),
        "shuffle": False,  # The batches are.
    }


def freeze(base: keras.Model, boundary: str) -> None:
    """Freeze every layer up to the boundary, and every BatchNormalization above it."""
    if boundary == OUTPUT:
        base.trainable = False
        return
    above = False
    for layer in base.layers:
        layer.trainable = above and not isinstance(layer, keras.layers.BatchNormalization)
        above = above or layer.name == boundary


def build_model(study: Study, folder: Path, images: Images, learning_rate: float) -> keras.Model:
    """Build and compile a trial's model: `(batch, size, size, 3)` to logits."""
    backbone, strategy = study.config.backbone, study.config.strategy
    base = load_start(study, folder)
    freeze(base, OUTPUT if strategy.boundary == OUTPUT else backbone.last_stage_boundary)
    head = new_head(study, num_classes=int(images.train_labels.max()) + 1)
    head.set_weights(load_head(folder))
    inputs = keras.Input(base.input_shape[1:])
    model = keras.Model(inputs, head(base(inputs, training=False)))
    optimizer = keras.optimizers.AdamW(
        Rates(study, len(images.train), learning_rate), weight_decay=strategy.weight_decay.low
    )
    optimizer.exclude_from_weight_decay(var_names=["bias", "beta", "gamma"])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    # Keras's default would compile by XLA, which is slower on a CPU: every arm does without.
    model.compile(optimizer, loss, metrics=["accuracy"], jit_compile=False)
    return model


def best_epoch(history: dict[str, list[float]]) -> tuple[float, float]:
    """Return validation loss and accuracy of the epoch with the lowest loss; NaN loses."""
    losses = [loss if math.isfinite(loss) else math.inf for loss in history["val_loss"]]
    best = losses.index(min(losses))
    return losses[best], history["val_accuracy"][best]


class Textbook:
    """The loop that Keras's guide leads to."""

    def __init__(self, study: Study, folder: Path) -> None:
        self._study, self._folder = study, folder
        self._images = load_images(study, folder)
        self._rates = learning_rates(study)

    def measure(self, trial: str) -> list[Measurement]:
        """Build, fit and keep the best epoch of one trial."""
        rate, study = self._rates[int(trial)], self._study
        started, first_step = time.perf_counter(), FirstStep()
        keras.backend.clear_session()
        model = build_model(study, self._folder, self._images, rate)
        patience = study.config.strategy.epochs
        restore = keras.callbacks.EarlyStopping("val_loss", patience=patience, restore_best_weights=True)
        fitted = model.fit(**fit_arguments(study, self._images), callbacks=[restore, first_step], verbose=0)
        seconds = time.perf_counter() - started
        assert first_step.ended is not None
        val_loss, val_accuracy = best_epoch(fitted.history)
        return [
            Measurement(
                trial=trial,
                learning_rate=rate,
                seconds=seconds,
                first_step_seconds=first_step.ended - started,
                val_loss=val_loss,
                val_accuracy=val_accuracy,
            )
        ]
