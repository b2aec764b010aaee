"""Fit one candidate after another on activations, with one traced program for all of them.

Only the learning rate, the weight decay and the initial values differ between candidates, so the
model is built and traced once; between candidates its weights and the optimizer's state are reset.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import keras
import numpy as np

from backbench.activations import ActivationSource, outputs
from backbench.records import EpochRecord


@dataclass(frozen=True)
class Schedule:
    """How long a candidate trains: linear warm-up, then a cosine to zero, one learning rate per step."""

    epochs: int
    batch_size: int
    warmup_fraction: float
    early_stopping_patience: int


@dataclass(frozen=True)
class Candidate:
    """What differs between two fits of the same model."""

    learning_rate: float
    weight_decay: float
    seed: int


@dataclass(frozen=True)
class Fit:
    """The outcome of one fit: the epoch with the lowest validation loss, and the way there.

    `weights` are the model's values after that epoch.
    """

    best: EpochRecord
    history: tuple[EpochRecord, ...]
    weights: list[np.ndarray]


def learning_rate_at(step: int, *, num_steps: int, warmup_steps: int, peak: float) -> float:
    """Return the learning rate of one step: linear warm-up to `peak`, then a cosine to zero.

    Source:
        SGDR, https://arxiv.org/abs/1608.03983, without restarts.
    """
    if step < warmup_steps:
        return peak * (step + 1) / warmup_steps
    done = (step - warmup_steps) / max(1, num_steps - warmup_steps)
    return peak * 0.5 * float(1.0 + np.cos(np.pi * done))


def shuffled_batches(num_examples: int, batch_size: int, seed: int) -> Iterator[np.ndarray]:
    """Yield index batches without end, every one full: permutations of the examples, joined.

    The last batch of an epoch is filled from the next permutation, so that no example is dropped and
    every batch has the same shape.
    """
    random = np.random.default_rng(seed)
    waiting = np.empty(0, dtype=np.int64)
    while True:
        while len(waiting) < batch_size:
            waiting = np.concatenate([waiting, random.permutation(num_examples)])
        yield waiting[:batch_size]
        waiting = waiting[batch_size:]


class Fitter:
    """A compiled model that fits candidates, one after another, each from given initial values."""

    def __init__(self, model: keras.Model, schedule: Schedule) -> None:
        """Compile the model once.

        Args:
            model: Maps activations `(batch, *boundary_shape)` to logits `(batch, num_classes)`.
            schedule: The same for every candidate: the final run has the schedule of the search.
        """
        self.model = model
        self.schedule = schedule
        self._optimizer = keras.optimizers.AdamW(learning_rate=1.0, weight_decay=0.0)
        # A variable, or the traced step would keep the first candidate's weight decay.
        self._weight_decay = keras.Variable(0.0, trainable=False, name="weight_decay")
        self._optimizer.weight_decay = self._weight_decay
        self._optimizer.exclude_from_weight_decay(var_names=["bias", "beta", "gamma"])
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(self._optimizer, loss, jit_compile=False)
        self._optimizer.build(model.trainable_variables)
        self._pristine = [keras.ops.convert_to_numpy(variable) for variable in self._optimizer.variables]

    def fit(
        self, candidate: Candidate, initial: list[np.ndarray], train: ActivationSource, val: ActivationSource
    ) -> Fit:
        """Train from `initial` until the schedule ends or validation loss has not fallen for too long."""
        self._reset(candidate, initial)
        schedule = self.schedule
        steps_per_epoch = math.ceil(train.num_examples / schedule.batch_size)
        num_steps = schedule.epochs * steps_per_epoch
        warmup_steps = int(schedule.warmup_fraction * num_steps)
        batches = shuffled_batches(train.num_examples, schedule.batch_size, candidate.seed)
        views = np.random.default_rng([candidate.seed, 1])
        history: list[EpochRecord] = []
        best, weights = None, initial
        for epoch in range(schedule.epochs):
            first = epoch * steps_per_epoch
            rates = [
                learning_rate_at(
                    first + step, num_steps=num_steps, warmup_steps=warmup_steps, peak=candidate.learning_rate
                )
                for step in range(steps_per_epoch)
            ]
            train_loss = self._train_epoch(rates, batches, views, train)
            val_loss, val_accuracy = self.loss_and_accuracy(val)
            record = EpochRecord(epoch, rates[-1], train_loss, val_loss, val_accuracy)
            history.append(record)
            if best is None or val_loss < best.val_loss:
                best, weights = record, self.model.get_weights()
            if epoch - best.epoch >= schedule.early_stopping_patience or not math.isfinite(train_loss):
                break
        assert best is not None
        return Fit(best, tuple(history), weights)

    def logits(self, values: np.ndarray | ActivationSource) -> np.ndarray:
        """Return float32 logits `(num_examples, num_classes)` of activations, of a source's own views."""
        return outputs(self.model, values)

    def loss_and_accuracy(self, data: ActivationSource) -> tuple[float, float]:
        """Return the mean cross-entropy and the accuracy over every example's own view."""
        logits = self.logits(data).astype(np.float64)
        shifted = logits - logits.max(axis=1, keepdims=True)
        log_probabilities = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
        loss = -log_probabilities[np.arange(data.num_examples), data.labels].mean()
        # A diverged fit must lose every comparison, and NaN compares as false.
        loss = loss if math.isfinite(loss) else math.inf
        return float(loss), float((logits.argmax(axis=1) == data.labels).mean())

    def _reset(self, candidate: Candidate, initial: list[np.ndarray]) -> None:
        self.model.set_weights(initial)
        # Dropout and stochastic depth keep their random state in variables that `set_weights` does not reach.
        states = [variable for variable in self.model.variables if variable.name == "seed_generator_state"]
        for index, state in enumerate(states):
            state.assign(np.array([candidate.seed, index], dtype="uint32"))
        for variable, value in zip(self._optimizer.variables, self._pristine, strict=True):
            variable.assign(value)
        self._weight_decay.assign(candidate.weight_decay)

    def _train_epoch(
        self, rates: list[float], batches: Iterator[np.ndarray], views: np.random.Generator, train: ActivationSource
    ) -> float:
        """Train one epoch; returns the mean of the losses of its batches, each before its own step."""
        losses = []
        for rate in rates:
            chosen = next(batches)
            view = views.integers(train.num_views, size=len(chosen))
            self._optimizer.learning_rate = rate
            # Keras resets its metrics in every call: what it returns is this batch's loss alone.
            losses.append(self.model.train_on_batch(train.take(view, chosen), train.labels[chosen]))
        return float(np.mean(losses))
