"""Fit one candidate after another on activations, with one traced program for all of them.

Only the learning rate, the weight decay and the initial values differ between candidates, so the
model is built and traced once; between candidates its weights and the optimizer's state are reset.

Where a step does not fit into memory, its batch passes in more parts: half as many images at once. The step is still
the mean over the whole batch, so the learning rate, the schedule and the number of steps stay as they are. The outcome
is the same but for the order of sums, and but for two things: dropout draws its masks anew for every part, and
BatchNormalization, where it trains, has the statistics of the smaller parts.
"""

import gc
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import keras
import numpy as np

from backbench.activations import ActivationSource, outputs
from backbench.determinism import allowing_xla
from backbench.errors import MemoryLimitError
from backbench.out_of_memory import is_out_of_memory
from backbench.records import EpochRecord
from backbench.schedule import (
    Batch,
    Candidate,
    Course,
    Fit,
    Schedule,
    Weights,
    loss_and_accuracy,
    made_ahead,
    training_batches,
)

Watch = Callable[[Sequence[EpochRecord]], bool]
NO_DECAY = ["bias", "beta", "gamma"]


def compile_model(
    model: keras.Model, optimizer: keras.optimizers.Optimizer, loss: Any, *, xla: bool, **options: Any
) -> None:
    """Compile a model, by XLA where that is asked for and TensorFlow computes, and always on JAX.

    Without it JAX would run every step operation by operation. Left alone, TensorFlow would take it on a GPU, and
    PyTorch would take another compiler for it.
    """
    backend = keras.backend.backend()
    if xla and backend == "tensorflow":
        with allowing_xla():
            model.compile(optimizer, loss, jit_compile=True, **options)
    else:
        model.compile(optimizer, loss, jit_compile=backend == "jax", **options)


def optimizer_values(optimizer: keras.optimizers.Optimizer) -> Weights:
    """Copy an optimizer's state, to be given back before the next candidate."""
    return [keras.ops.convert_to_numpy(variable) for variable in optimizer.variables]


def assign_all(variables: list[keras.Variable], values: Weights) -> None:
    """Give every variable its value."""
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)


def random_states(model: keras.Model) -> list[keras.Variable]:
    """Dropout and stochastic depth keep their random state in variables that `set_weights` does not reach."""
    return [variable for variable in model.variables if variable.name == "seed_generator_state"]


class Fitter:
    """A compiled model that fits candidates, one after another, each from given initial values."""

    def __init__(self, model: keras.Model, schedule: Schedule, *, xla: bool = False) -> None:
        """Compile the model once.

        Args:
            model: Maps activations `(batch, *boundary_shape)` to logits `(batch, num_classes)`.
            schedule: The same for every candidate: the final run has the schedule of the search.
            xla: As `compile_model` takes it.
        """
        self.model = model
        self.schedule = schedule
        self._xla = xla
        self._parts = schedule.accumulation_steps
        self._compile()

    def _compile(self) -> None:
        parts = self._parts
        self._optimizer = keras.optimizers.AdamW(
            learning_rate=1.0, weight_decay=0.0, gradient_accumulation_steps=parts if parts > 1 else None
        )
        # A variable of the optimizer, or the traced step would keep the first candidate's weight decay.
        self._weight_decay = self._optimizer.add_variable((), "zeros", name="weight_decay")
        self._optimizer.weight_decay = self._weight_decay
        self._optimizer.exclude_from_weight_decay(var_names=NO_DECAY)
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        compile_model(self.model, self._optimizer, loss, xla=self._xla)
        gc.collect()  # the optimizer before this one, and its traced step, refer to each other
        self._optimizer.build(self.model.trainable_variables)
        self._pristine = optimizer_values(self._optimizer)
        self._is_compiled = True

    def fit(
        self,
        candidate: Candidate,
        initial: Weights,
        train: ActivationSource,
        val: ActivationSource,
        *,
        should_stop: Watch | None = None,
    ) -> Fit:
        """Train from `initial` until the schedule ends or validation loss has not fallen for too long.

        Where memory runs out the candidate begins again, with half as many images at once; so do later ones.

        Args:
            candidate: What is tried.
            initial: The model's values to start from.
            train: Every epoch sees each example about once, in a view drawn anew.
            val: Decides which epoch is best.
            should_stop: Told, after every epoch, of all epochs so far; true ends the fit as pruned. It may be told of
                an epoch again, where a candidate begins again.

        Raises:
            MemoryLimitError: not even one image fits.
        """
        while True:
            try:
                return self._fit(candidate, initial, train, val, should_stop)
            except Exception as error:
                if not is_out_of_memory(error):
                    raise
            # Out here the error is gone, and with its frames all that they held.
            self._parts, self._is_compiled = self._more_parts(), False

    def _fit(
        self,
        candidate: Candidate,
        initial: Weights,
        train: ActivationSource,
        val: ActivationSource,
        should_stop: Watch | None,
    ) -> Fit:
        if not self._is_compiled:
            self._compile()
        self._reset(candidate, initial)
        course = Course(candidate, self.schedule, train.num_examples)
        batches = training_batches(train, self.schedule.batch_size, candidate.seed)
        with made_ahead(batches) as ready:
            while not course.is_over:
                rates = course.rates(len(course.history))
                train_loss = self.train_epoch(rates, ready)
                course.end_epoch(rates[-1], train_loss, self.loss_and_accuracy(val), self.model.get_weights)
                if should_stop is not None and not course.is_over and should_stop(course.history):
                    course.prune()
        return replace(course.fit(), accumulation_steps=self._parts)

    def _more_parts(self) -> int:
        """Count the parts that halve what passes at once, or that come next to it among the batch size's divisors."""
        batch_size = self.schedule.batch_size
        if self._parts == batch_size:
            raise MemoryLimitError(
                "expected a training step of one image to fit into memory, found that the backend ran out of it; "
                "move the boundary in conf/strategy up, or take a smaller backbone"
            )
        return next(parts for parts in range(2 * self._parts, batch_size + 1) if batch_size % parts == 0)

    def train_epoch(self, rates: Sequence[float], batches: Iterator[Batch]) -> float:
        """Train a step per learning rate; returns the mean of the losses of the batches, each before its own step."""
        losses = []
        for rate in rates:
            self._optimizer.learning_rate = rate
            values, labels = next(batches)
            for part in zip(np.split(values, self._parts), np.split(labels, self._parts), strict=True):
                # Keras resets its metrics in every call: what it returns is this part's loss alone.
                losses.append(self.model.train_on_batch(*part))
        return float(np.mean(losses))

    def logits(self, data: ActivationSource) -> np.ndarray:
        """Return float32 logits `(num_examples, num_classes)` of every example's own view."""
        return outputs(self.model, data)

    def loss_and_accuracy(self, data: ActivationSource) -> tuple[float, float]:
        """Return the mean cross-entropy and the accuracy over every example's own view."""
        return loss_and_accuracy(self.logits(data), data.labels)

    def _reset(self, candidate: Candidate, initial: Weights) -> None:
        self.model.set_weights(initial)
        for index, state in enumerate(random_states(self.model)):
            state.assign(np.array([candidate.seed, index], dtype="uint32"))
        assign_all(self._optimizer.variables, self._pristine)
        self._weight_decay.assign(candidate.weight_decay)
