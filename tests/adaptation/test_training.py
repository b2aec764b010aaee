from dataclasses import replace
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from backbench.adaptation.heads import build_head, standardise
from backbench.adaptation.schedule import Hyperparameters, Schedule, loss_and_accuracy
from backbench.adaptation.training import Fitter
from backbench.config.strategy_config import HeadConfig
from backbench.features.activations import Activations, outputs
from tests.support.fits import same
from tests.support.tiny import blobs

SCHEDULE = Schedule(epochs=4, batch_size=16, warmup_fraction=0.1, early_stopping_patience=4)
TRAIN, VAL = blobs(50, (8,), num_views=2, seed=0), blobs(33, (8,), seed=1)


@pytest.fixture(scope="module")
def fitter() -> Fitter:
    return Fitter(build_head(8, 3, HeadConfig(hidden_units=16, dropout=0.5), seed=0), SCHEDULE)


@pytest.fixture(scope="module")
def initial() -> list[np.ndarray]:
    head = build_head(8, 3, HeadConfig(hidden_units=16, dropout=0.5), seed=0)
    standardise(head, TRAIN)
    return head.get_weights()


def test_a_fit_does_not_depend_on_what_was_fitted_before(fitter: Fitter, initial: list[np.ndarray]) -> None:
    first = fitter.fit(Hyperparameters(0.03, 0.01, seed=0), initial, TRAIN, VAL)
    fitter.fit(Hyperparameters(0.3, 0.5, seed=5), initial, TRAIN, VAL)
    assert same(first, fitter.fit(Hyperparameters(0.03, 0.01, seed=0), initial, TRAIN, VAL))


@pytest.mark.parametrize(
    "other",
    [Hyperparameters(0.01, 0.01, seed=0), Hyperparameters(0.03, 0.5, seed=0), Hyperparameters(0.03, 0.01, seed=1)],
)
def test_learning_rate_weight_decay_and_seed_all_reach_the_fit(
    fitter: Fitter, initial: list[np.ndarray], other: Hyperparameters
) -> None:
    reference = fitter.fit(Hyperparameters(0.03, 0.01, seed=0), initial, TRAIN, VAL)
    assert not same(reference, fitter.fit(other, initial, TRAIN, VAL))


def test_a_fit_learns_and_returns_its_best_epoch(fitter: Fitter, initial: list[np.ndarray]) -> None:
    fit = fitter.fit(Hyperparameters(0.1, 0.0, seed=0), initial, TRAIN, VAL)
    assert fit.best.val_loss == min(epoch.val_loss for epoch in fit.history)
    assert fit.best.val_accuracy > 0.8
    fitter.model.set_weights(fit.weights)
    assert loss_and_accuracy(outputs(fitter.model, VAL), VAL.labels) == (fit.best.val_loss, fit.best.val_accuracy)


def test_accumulated_parts_of_a_batch_make_the_step_of_the_whole_batch() -> None:
    head = HeadConfig(hidden_units=16, dropout=0.0)
    start = build_head(8, 3, head, seed=0)
    standardise(start, TRAIN)
    fits = []
    for parts in (1, 4):
        schedule = replace(SCHEDULE, accumulation_steps=parts)
        fitter = Fitter(build_head(8, 3, head, seed=0), schedule)
        # Twice: what a fit leaves in the accumulators must not reach the next.
        fitter.fit(Hyperparameters(0.3, 0.5, seed=5), start.get_weights(), TRAIN, VAL)
        fits.append(fitter.fit(Hyperparameters(0.03, 0.01, seed=0), start.get_weights(), TRAIN, VAL))
    for whole, accumulated in zip(*(fit.history for fit in fits), strict=True):
        assert accumulated.learning_rate == whole.learning_rate
        assert accumulated.train_loss == pytest.approx(whole.train_loss, rel=1e-4)
        assert accumulated.val_loss == pytest.approx(whole.val_loss, rel=1e-4)


def test_training_loss_is_the_mean_over_the_epoch() -> None:
    """With next to no learning rate, and every example once, it is the loss at the initial weights."""
    train = blobs(48, (8,), seed=0)
    head = build_head(8, 3, HeadConfig(hidden_units=0, dropout=0.0), seed=0)
    fitter = Fitter(head, Schedule(epochs=1, batch_size=16, warmup_fraction=0.0, early_stopping_patience=1))
    initial = head.get_weights()
    fit = fitter.fit(Hyperparameters(1e-12, 0.0, seed=0), initial, train, VAL)
    head.set_weights(initial)
    loss, _ = loss_and_accuracy(outputs(head, train), train.labels)
    assert fit.history[0].train_loss == pytest.approx(loss, rel=1e-4)


def test_early_stopping_counts_epochs_without_a_lower_validation_loss(initial: list[np.ndarray]) -> None:
    head = build_head(8, 3, HeadConfig(hidden_units=4, dropout=0.0), seed=0)
    patient = Fitter(head, Schedule(epochs=30, batch_size=16, warmup_fraction=0.0, early_stopping_patience=2))
    fit = patient.fit(Hyperparameters(30.0, 0.0, seed=0), head.get_weights(), TRAIN, VAL)
    assert len(fit.history) == fit.best.epoch + 3


def test_the_last_partial_batch_is_counted(fitter: Fitter) -> None:
    assert outputs(fitter.model, VAL).shape == (33, 3)
    assert outputs(fitter.model, Activations(VAL.values[:, :1], VAL.labels[:1])).shape == (1, 3)


def test_a_diverged_fit_ends_and_loses_every_comparison(fitter: Fitter, initial: list[np.ndarray]) -> None:
    broken = [np.full_like(value, np.nan) for value in initial]
    fit = fitter.fit(Hyperparameters(0.01, 0.0, seed=0), broken, TRAIN, VAL)
    assert fit.best.val_loss == float("inf")
    assert len(fit.history) == 1
    assert fit.reason == "diverged: training loss nan in epoch 0"


def test_a_fit_that_is_told_to_stop_is_pruned(fitter: Fitter, initial: list[np.ndarray]) -> None:
    candidate = Hyperparameters(0.03, 0.0, seed=0)
    fit = fitter.fit(candidate, initial, TRAIN, VAL, should_stop=lambda history: len(history) == 2)
    whole = fitter.fit(candidate, initial, TRAIN, VAL, should_stop=lambda history: False)
    assert fit.reason == "worse than others after epoch 1"
    assert fit.history == whole.history[:2]
    assert not whole.reason
    assert len(whole.history) == SCHEDULE.epochs


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="JAX always has XLA, PyTorch never")
def test_a_fit_by_xla_ends_near_one_without(initial: list[np.ndarray]) -> None:
    tf.config.experimental.enable_op_determinism()
    fits = []
    for xla in (False, True):
        fitter = Fitter(build_head(8, 3, HeadConfig(hidden_units=16, dropout=0.0), seed=0), SCHEDULE, xla=xla)
        assert fitter.model.jit_compile == xla, "Keras refuses it beside deterministic operations"
        fits.append(fitter.fit(Hyperparameters(0.03, 0.01, seed=0), initial, TRAIN, VAL))
    plain, compiled = ([epoch.val_loss for epoch in fit.history] for fit in fits)
    assert compiled == pytest.approx(plain, rel=1e-3)


class CountingCalls(keras.layers.Layer):
    """The identity; counts how often Python runs it, which in a traced program is once per trace."""

    num_calls = 0

    def call(self, inputs: Any) -> Any:
        CountingCalls.num_calls += 1
        return inputs


@pytest.mark.skipif(keras.backend.backend() == "torch", reason="PyTorch runs eagerly: it traces nothing")
def test_candidates_share_one_traced_program() -> None:
    values = keras.Input((8,))
    model = keras.Model(values, keras.layers.Dense(3)(CountingCalls()(values)))
    fitter, initial = Fitter(model, SCHEDULE), model.get_weights()
    fitter.fit(Hyperparameters(0.1, 0.1, seed=0), initial, TRAIN, VAL)
    after_first = CountingCalls.num_calls
    for rate in (0.01, 0.001):
        fitter.fit(Hyperparameters(rate, rate, seed=1), initial, TRAIN, VAL)
    assert CountingCalls.num_calls == after_first
