"""Fit one candidate after another on activations, with one traced program for all of them.

Only the learning rate, the weight decay and the initial values differ between candidates, so the
model is built and traced once; between candidates its weights and the optimizer's state are reset.

Where a step does not fit into memory, its batch passes in more parts: half as many images at once. The step is still
the mean over the whole batch, so the learning rate, the schedule and the number of steps stay as they are. The outcome
is the same but for the order of sums, and but for two things: dropout draws its masks anew for every part, and
BatchNormalization, where it trains, has the statistics of the smaller parts.
"""

import gc
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import keras
import numpy as np

from backbench.adaptation.checkpoints import Checkpoints
from backbench.adaptation.fit_state import (
    assign_all,
    course_arrays,
    fit_name,
    model_arrays,
    restore_course,
    restore_model,
    values_of,
)
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
from backbench.compat.networks.keras_optimizers import decay_variable
from backbench.compat.networks.keras_random import random_states, reseed
from backbench.compat.networks.tensorflow_xla import allowing_xla
from backbench.features.activations import ActivationSource, outputs
from backbench.results.records import EpochRecord
from backbench.runtime.errors import MemoryLimitError
from backbench.runtime.interruption import Interrupted
from backbench.runtime.out_of_memory import is_out_of_memory

Watch = Callable[[Sequence[EpochRecord]], bool]
NO_DECAY = ["bias", "beta", "gamma"]
PARTS = "accumulation_steps"


def compile_model(
    model: keras.Model, optimizer: keras.optimizers.Optimizer, loss: Any, *, xla: bool, **options: Any
) -> None:
    """Compile a model, by XLA where that is asked for and TensorFlow computes, and always on JAX.

    Without it JAX would run every step operation by operation. PyTorch has none, and Keras would take another compiler.
    """
    backend = keras.backend.backend()
    if xla and backend == "tensorflow":
        with allowing_xla():
            model.compile(optimizer, loss, jit_compile=True, **options)
    else:
        model.compile(optimizer, loss, jit_compile=backend == "jax", **options)


class Fitter:
    """A compiled model that fits candidates, one after another, each from given initial values."""

    def __init__(self, model: keras.Model, schedule: Schedule, *, xla: bool = False) -> None:
        """Compile a model of activations `(batch, *boundary_shape)` to logits `(batch, num_classes)` once.

        The schedule is the same for every candidate: the final run has that of the search.
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
        self._weight_decay = decay_variable(self._optimizer)
        self._optimizer.exclude_from_weight_decay(var_names=NO_DECAY)
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        compile_model(self.model, self._optimizer, loss, xla=self._xla)
        gc.collect()  # the optimizer before this one, and its traced step, refer to each other
        self._optimizer.build(self.model.trainable_variables)
        self._pristine = values_of(self._optimizer.variables)
        self._is_compiled = True

    def fit(
        self,
        candidate: Hyperparameters,
        initial: Weights,
        train: ActivationSource,
        val: ActivationSource,
        *,
        should_stop: Watch | None = None,
        checkpoints: Checkpoints | None = None,
    ) -> Fit:
        """Train from `initial` until the schedule ends or validation loss has not fallen for too long.

        Every epoch sees each example of `train` about once, in a view drawn anew; `val` decides which epoch is best.
        Where memory runs out the candidate begins again, with half as many images at once; so do later ones.
        `should_stop` is told, after every epoch, of all epochs so far, and again where a candidate begins again; true
        ends the fit as pruned. `checkpoints` are written then, now and then and where the fit is asked to leave: it
        goes on from there, in any process, and ends as if it had not left.

        Raises:
            Interrupted: the fit was asked to leave, and did.
            MemoryLimitError: not even one image fits.
        """
        name = fit_name(candidate, self.schedule, initial, train, val, xla=self._xla)
        saved = None if checkpoints is None else checkpoints.read(name)
        while True:
            try:
                course = self._begun(candidate, initial, train, saved)
                self._run(course, train, val, should_stop, name, checkpoints)
                break
            except Exception as error:
                if not is_out_of_memory(error):
                    raise
            # Out here the error is gone, and with its frames all that they held.
            self._parts, self._is_compiled, saved = self._more_parts(), False, None
            if checkpoints is not None:
                checkpoints.remove(name)  # no machine as small as this one could go on from it
        if checkpoints is not None:
            checkpoints.remove(name)
        return replace(course.fit(), accumulation_steps=self._parts)

    def _run(
        self,
        course: Course,
        train: ActivationSource,
        val: ActivationSource,
        should_stop: Watch | None,
        name: str,
        checkpoints: Checkpoints | None,
    ) -> None:
        """Go on until the course is over, or to the end of the epoch in which it is asked to leave."""
        num_done = len(course.history) * course.steps_per_epoch
        batches = training_batches(train, self.schedule.batch_size, course.candidate.seed, num_skipped=num_done)
        saved_at = time.monotonic()
        with made_ahead(batches) as ready:
            while not course.is_over:
                rates = course.rates(len(course.history))
                train_loss = self.train_epoch(rates, ready)
                found = loss_and_accuracy(outputs(self.model, val), val.labels)
                course.end_epoch(rates[-1], train_loss, found, self.model.get_weights)
                if should_stop is not None and not course.is_over and should_stop(course.history):
                    course.prune()
                if checkpoints is None or course.is_over:
                    continue
                is_asked = checkpoints.is_asked()
                if is_asked or time.monotonic() - saved_at >= checkpoints.seconds_between:
                    checkpoints.write(name, self._state(course))
                    saved_at = time.monotonic()
                if is_asked:
                    raise Interrupted(f"left after epoch {course.history[-1].epoch}, to go on from there")

    def _state(self, course: Course) -> dict[str, np.ndarray]:
        return {PARTS: np.array(self._parts), **model_arrays(self.model), **course_arrays(course)}

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

    def _begun(
        self,
        candidate: Hyperparameters,
        initial: Weights,
        train: ActivationSource,
        saved: Mapping[str, np.ndarray] | None,
    ) -> Course:
        """Return a course at its beginning, or where it left, with the model in the same state."""
        course = Course(candidate, self.schedule, len(train.labels))
        parts = self._parts if saved is None else int(saved[PARTS])
        if parts != self._parts or not self._is_compiled:
            self._parts = parts
            self._compile()
        self._reset(candidate, initial)
        if saved is not None:
            restore_model(self.model, saved)
            restore_course(course, saved)
        return course

    def _reset(self, candidate: Hyperparameters, initial: Weights) -> None:
        self.model.set_weights(initial)
        for index, state in enumerate(random_states(self.model)):
            reseed(state, candidate.seed, index)
        assign_all(self._optimizer.variables, self._pristine)
        self._weight_decay.assign(candidate.weight_decay)
