"""Fit many candidates of a head at once: one stacked network, one traced step, a learning rate per slice."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from typing import Any

import keras
import numpy as np

from backbench.adaptation.fit_state import assign_all, values_of
from backbench.adaptation.schedule import (
    Batch,
    Course,
    Fit,
    Hyperparameters,
    Schedule,
    Weights,
    loss_and_accuracy,
    made_ahead,
    training_batches,
)
from backbench.adaptation.stacked_heads import StackedDropout, build_stack, slice_values, stacked_values
from backbench.adaptation.training import NO_DECAY, compile_model
from backbench.compat.networks.keras_optimizers import ADAMW, decay_variable
from backbench.compat.networks.keras_random import reseed
from backbench.config.strategy_config import HeadConfig
from backbench.features.activations import ActivationSource, outputs


def cross_entropies(labels: Any, logits: Any) -> Any:
    """Return the cross-entropy of every example and slice, `(batch, slices)`, in nats.

    Labels are int `(batch, 1, slices or 1)`, logits float `(batch, num_classes, slices)`.
    """
    chosen = keras.ops.one_hot(labels[:, 0, :], logits.shape[1], axis=1)
    return -keras.ops.sum(chosen * keras.ops.log_softmax(logits, axis=1), axis=1)


def summed_cross_entropy(labels: Any, logits: Any) -> Any:
    """Return the loss of every example, summed over slices, `(batch,)`: each slice's gradient is its own."""
    return keras.ops.sum(cross_entropies(labels, logits), axis=1)


class SliceLosses(keras.metrics.Metric):  # type: ignore[misc] # Keras carries no types
    """The sum, over the batches of an epoch, of each slice's mean loss."""

    def __init__(self, num_slices: int) -> None:
        super().__init__(name="slice_losses")
        self.sums = self.add_variable((num_slices,), "zeros", name="sums")

    def update_state(self, labels: Any, logits: Any, sample_weight: Any = None) -> None:
        self.sums.assign(self.sums + keras.ops.mean(cross_entropies(labels, logits), axis=0))

    def result(self) -> Any:
        return keras.ops.sum(self.sums)

    def reset_state(self) -> None:
        """Do nothing: Keras calls it before every batch; `begin_epoch` resets."""

    def begin_epoch(self) -> None:
        self.sums.assign(np.zeros(self.sums.shape, "float32"))


class StackedFitter:
    """A compiled stack of heads that fits as many candidates at once.

    Slice k ends where candidate k, fitted alone by `training.Fitter`, would end, but for the order of sums.
    """

    def __init__(
        self,
        feature_dim: int,
        num_classes: int,
        head: HeadConfig,
        schedule: Schedule,
        *,
        num_slices: int,
        shared_batches: bool,
        xla: bool = False,
    ) -> None:
        """Build and compile the stack once, for `num_slices` candidates with heads of one form, all on one schedule.

        With `shared_batches` all candidates have the same seed, and so the same batches.
        """
        self._schedule = schedule
        self._shared_batches = shared_batches
        self._num_slices = num_slices
        self._model = build_stack(feature_dim, num_classes, head, num_slices=num_slices, shared_batches=shared_batches)
        self._losses = SliceLosses(num_slices)
        self._optimizer = ADAMW(learning_rate=lambda: self._rates, weight_decay=0.0)
        self._rates: keras.Variable = self._optimizer.add_variable((num_slices,), "zeros", name="rates")
        self._weight_decays = decay_variable(self._optimizer, (num_slices,))
        self._optimizer.exclude_from_weight_decay(var_names=NO_DECAY)
        compile_model(self._model, self._optimizer, summed_cross_entropy, xla=xla, metrics=[self._losses])
        self._optimizer.build(self._model.trainable_variables)
        self._pristine = values_of(self._optimizer.variables)

    def fit(
        self,
        candidates: Sequence[Hyperparameters],
        initial: Sequence[Weights],
        train: ActivationSource,
        val: ActivationSource,
    ) -> list[Fit]:
        """Train every candidate from its own head, until the last one has stopped.

        `initial` has the weights of each candidate's head, in the order of `head.get_weights()`. Every epoch sees each
        example of the pooled features of `train` about once, in a view drawn anew; `val` decides which epoch of each
        slice is best.

        Raises:
            ValueError: batches are shared, and the seeds differ.
        """
        if self._shared_batches and len({candidate.seed for candidate in candidates}) > 1:
            raise ValueError("expected candidates of one seed where they share their batches, found several")
        self._reset(candidates, initial)
        courses = [Course(candidate, self._schedule, len(train.labels)) for candidate in candidates]
        seeds = [candidate.seed for candidate in candidates]
        with ExitStack() as opened:
            ready = [
                opened.enter_context(made_ahead(training_batches(train, self._schedule.batch_size, seed)))
                for seed in (seeds[:1] if self._shared_batches else seeds)
            ]
            for epoch in range(self._schedule.epochs):
                rates = np.array([course.rates(epoch) for course in courses], dtype="float32").T
                train_losses = self.train_epoch(rates, ready)
                self._end_epoch(courses, rates[-1], train_losses, val)
                if all(course.is_over for course in courses):
                    break
        return [course.fit() for course in courses]

    def train_epoch(self, rates: np.ndarray, streams: Sequence[Iterator[Batch]]) -> np.ndarray:
        """Train a step per row of `rates`, `(num_steps, num_slices)`; returns each slice's mean loss, `(num_slices,)`.

        `streams` holds one endless stream of batches where they are shared, else one per slice.
        """
        self._losses.begin_epoch()
        for step_rates in rates:
            batches = [next(stream) for stream in streams]
            values, labels = (np.stack(of_slices, axis=-1) for of_slices in zip(*batches, strict=True))
            self._rates.assign(step_rates)
            self._model.train_on_batch(values, labels[:, None, :])
        return np.asarray(keras.ops.convert_to_numpy(self._losses.sums) / len(rates))

    def _end_epoch(
        self, courses: list[Course], rates: np.ndarray, train_losses: np.ndarray, val: ActivationSource
    ) -> None:
        num_seen = 1 if self._shared_batches else self._num_slices
        logits = outputs(self._model, val, lambda values: np.repeat(values[:, :, None], num_seen, axis=2))
        weights = self._model.get_weights()
        for index, course in enumerate(courses):
            if not course.is_over:
                course.end_epoch(
                    float(rates[index]),
                    float(train_losses[index]),
                    loss_and_accuracy(logits[:, :, index], val.labels),
                    lambda index=index: slice_values(self._model, weights, index),  # type: ignore[misc]
                )

    def _reset(self, candidates: Sequence[Hyperparameters], initial: Sequence[Weights]) -> None:
        self._model.set_weights(stacked_values(initial, self._model))
        for layer in self._model.layers:
            if isinstance(layer, StackedDropout):
                for candidate, generator in zip(candidates, layer.generators, strict=True):
                    reseed(generator.state, candidate.seed)
        assign_all(self._optimizer.variables, self._pristine)
        self._weight_decays.assign(np.array([candidate.weight_decay for candidate in candidates], "float32"))
