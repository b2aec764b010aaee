"""Fit one candidate after another on activations, with one traced program for all of them.

Only the learning rate, the weight decay and the initial values differ between candidates, so the
model is built and traced once; between candidates its weights and the optimizer's state are reset.
"""

from collections.abc import Callable, Iterator, Sequence

import keras
import numpy as np

from backbench.activations import ActivationSource, outputs
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
# Without it JAX would run every step operation by operation; TensorFlow would ask for XLA, which is slower on a CPU.
JIT_COMPILE = keras.backend.backend() == "jax"


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

    def __init__(self, model: keras.Model, schedule: Schedule) -> None:
        """Compile the model once.

        Args:
            model: Maps activations `(batch, *boundary_shape)` to logits `(batch, num_classes)`.
            schedule: The same for every candidate: the final run has the schedule of the search.
        """
        self.model = model
        self.schedule = schedule
        parts = schedule.accumulation_steps
        self._optimizer = keras.optimizers.AdamW(
            learning_rate=1.0, weight_decay=0.0, gradient_accumulation_steps=parts if parts > 1 else None
        )
        # A variable of the optimizer, or the traced step would keep the first candidate's weight decay.
        self._weight_decay = self._optimizer.add_variable((), "zeros", name="weight_decay")
        self._optimizer.weight_decay = self._weight_decay
        self._optimizer.exclude_from_weight_decay(var_names=NO_DECAY)
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(self._optimizer, loss, jit_compile=JIT_COMPILE)
        self._optimizer.build(model.trainable_variables)
        self._pristine = optimizer_values(self._optimizer)

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

        Args:
            candidate: What is tried.
            initial: The model's values to start from.
            train: Every epoch sees each example about once, in a view drawn anew.
            val: Decides which epoch is best.
            should_stop: Told, after every epoch, of all epochs so far; true ends the fit as pruned.
        """
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
        return course.fit()

    def train_epoch(self, rates: Sequence[float], batches: Iterator[Batch]) -> float:
        """Train a step per learning rate; returns the mean of the losses of the batches, each before its own step."""
        losses = []
        for rate in rates:
            self._optimizer.learning_rate = rate
            values, labels = next(batches)
            parts = self.schedule.accumulation_steps
            for part in zip(np.split(values, parts), np.split(labels, parts), strict=True):
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
