"""Where memory runs out, less passes at once: the same fit, up to the order of sums, or one line."""

import gc
import weakref
from dataclasses import replace
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from backbench.adaptation.heads import build_head
from backbench.adaptation.schedule import Fit, Hyperparameters, Schedule
from backbench.adaptation.strategies import TrainablePart
from backbench.adaptation.training import Fitter
from backbench.backbones.latency import Repetitions, speed_of
from backbench.config.strategy_config import HeadConfig
from backbench.features.activations import ComputedActivations, PreparedImages, outputs, predicted
from backbench.runtime.errors import MemoryLimitError
from backbench.runtime.out_of_memory import is_out_of_memory
from tests.support.configs import strategy_config
from tests.support.image_folders import NO_AUGMENTATION
from tests.support.limited_memory import full, limit_memory, num_heads
from tests.support.tiny import BACKBONE, FEATURE_DIM, blobs, cut_tiny

SCHEDULE = Schedule(epochs=2, batch_size=12, warmup_fraction=0.1, early_stopping_patience=2)
TRAIN, VAL = blobs(30, (8,), num_views=2, seed=0), blobs(15, (8,), seed=1)
CANDIDATE = Hyperparameters(0.03, 0.01, seed=0)


class XlaRuntimeError(RuntimeError):
    """Named as JAX's."""


@pytest.mark.parametrize(
    ("error", "is_full"),
    [
        (full(), True),
        (MemoryError(), True),
        (np._core._exceptions._ArrayMemoryError((1 << 50,), np.dtype("float32")), True),
        (type("OutOfMemoryError", (RuntimeError,), {})("CUDA out of memory"), True),
        (XlaRuntimeError("RESOURCE_EXHAUSTED: Out of memory while trying to allocate 1 bytes."), True),
        (XlaRuntimeError("INVALID_ARGUMENT: RESOURCE"), False),
        (tf.errors.InvalidArgumentError(None, None, "shapes"), False),
        (RuntimeError("RESOURCE_EXHAUSTED"), False),
    ],
)
def test_a_full_memory_is_told_from_other_errors(error: Exception, is_full: bool) -> None:
    assert is_out_of_memory(error) == is_full


def assert_close(one: Fit, other: Fit) -> None:
    assert len(one.history) == len(other.history)
    for mine, theirs in zip(one.history, other.history, strict=True):
        assert mine.learning_rate == theirs.learning_rate
        assert (mine.train_loss, mine.val_loss) == pytest.approx((theirs.train_loss, theirs.val_loss), rel=1e-4)
    for mine, theirs in zip(one.weights, other.weights, strict=True):
        np.testing.assert_allclose(mine, theirs, atol=1e-4, rtol=1e-4)


@pytest.fixture
def fitter() -> Fitter:
    return Fitter(build_head(8, 3, HeadConfig(hidden_units=4, dropout=0.0), seed=0), SCHEDULE)


# Of 12 images, 6, then 3, then (no part of 1.5 images) 1 pass at once.
@pytest.mark.parametrize(("limit", "parts"), [(6, 2), (2, 12)])
def test_a_candidate_that_does_not_fit_begins_again_in_more_parts_and_ends_the_same(
    fitter: Fitter, monkeypatch: pytest.MonkeyPatch, limit: int, parts: int
) -> None:
    initial = fitter.model.get_weights()
    whole = fitter.fit(CANDIDATE, initial, TRAIN, VAL)
    optimizer = weakref.ref(fitter.model.optimizer)
    limit_memory(monkeypatch, "train_on_batch", limit)
    fit = fitter.fit(CANDIDATE, initial, TRAIN, VAL)
    assert (whole.accumulation_steps, fit.accumulation_steps) == (1, parts)
    assert_close(fit, whole)
    gc.collect()
    assert optimizer() is None, "its moments would take memory still"


def test_later_candidates_begin_with_what_fitted(fitter: Fitter, monkeypatch: pytest.MonkeyPatch) -> None:
    initial = fitter.model.get_weights()
    limit_memory(monkeypatch, "train_on_batch", 6)
    first = fitter.fit(CANDIDATE, initial, TRAIN, VAL)
    monkeypatch.undo()
    second = fitter.fit(CANDIDATE, initial, TRAIN, VAL)
    assert second.accumulation_steps == 2
    assert second.history == first.history


def test_what_runs_out_in_a_later_epoch_begins_again_too(fitter: Fitter, monkeypatch: pytest.MonkeyPatch) -> None:
    initial = fitter.model.get_weights()
    whole = fitter.fit(CANDIDATE, initial, TRAIN, VAL)
    train, calls = Fitter.train_epoch, iter(range(1000))

    def once(self: Fitter, *arguments: Any) -> float:
        if next(calls) == 1:
            raise full()
        return train(self, *arguments)

    monkeypatch.setattr(Fitter, "train_epoch", once)
    assert_close(fitter.fit(CANDIDATE, initial, TRAIN, VAL), whole)


def test_one_image_that_does_not_fit_is_one_line(fitter: Fitter, monkeypatch: pytest.MonkeyPatch) -> None:
    limit_memory(monkeypatch, "train_on_batch", 0)
    with pytest.raises(MemoryLimitError, match="expected a training step of one image to fit"):
        fitter.fit(CANDIDATE, fitter.model.get_weights(), TRAIN, VAL)


def test_another_error_is_no_matter_of_memory(fitter: Fitter, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise tf.errors.InvalidArgumentError(None, None, "shapes")

    monkeypatch.setattr(keras.Model, "train_on_batch", broken)
    with pytest.raises(tf.errors.InvalidArgumentError):
        fitter.fit(CANDIDATE, fitter.model.get_weights(), TRAIN, VAL)


def test_predictions_that_do_not_fit_are_made_in_halves(fitter: Fitter, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = outputs(fitter.model, VAL)
    limit_memory(monkeypatch, "predict_on_batch", 4)
    np.testing.assert_allclose(outputs(fitter.model, VAL), whole, rtol=1e-5, atol=1e-6)


def heads() -> TrainablePart:
    strategy = strategy_config("feature_extraction", epochs=2, batch_size=12, head={"dropout": 0.3})
    return TrainablePart(None, BACKBONE, strategy, num_classes=3)


def fit_heads(trainable_part: TrainablePart, candidates: list[Hyperparameters]) -> list[Fit]:
    train, val = blobs(30, (FEATURE_DIM,), seed=0), blobs(15, (FEATURE_DIM,), seed=1)
    initial = [trainable_part.initial_values(train, val, seed=candidate.seed) for candidate in candidates]
    return trainable_part.fit(candidates, initial, train, val)


@pytest.mark.parametrize("seeds", [[0] * 5, [0, 1, 2, 3, 4]], ids=["one_seed", "many_seeds"])
def test_a_stack_that_does_not_fit_is_trained_in_halves_and_ends_the_same(
    monkeypatch: pytest.MonkeyPatch, seeds: list[int]
) -> None:
    candidates = [replace(CANDIDATE, learning_rate=0.01 * (1 + place), seed=seed) for place, seed in enumerate(seeds)]
    whole = fit_heads(heads(), candidates)
    limit_memory(monkeypatch, "train_on_batch", 2, num_heads)
    trainable_part = heads()
    for one, other in zip(fit_heads(trainable_part, candidates), whole, strict=True):
        assert_close(one, other)
    assert {form[1] for form in trainable_part._stacks} <= {1, 2}, "what did not fit takes memory still"


def test_one_head_that_does_not_fit_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    limit_memory(monkeypatch, "train_on_batch", 0)
    with pytest.raises(MemoryLimitError, match="expected one head to fit"):
        fit_heads(heads(), [CANDIDATE, CANDIDATE])


def computed(prefix: keras.Model, num_examples: int, *, seed: int) -> ComputedActivations:
    images = np.random.default_rng(seed).integers(0, 256, (num_examples, 32, 32, 3), dtype=np.uint8)
    labels = np.arange(num_examples, dtype=np.int32) % 3
    return ComputedActivations(PreparedImages(images, BACKBONE, NO_AUGMENTATION, seed=0), labels, prefix, 1)


def limit_model(monkeypatch: pytest.MonkeyPatch, model: keras.Model, limit: int) -> list[int]:
    """Make one model's predictions run out of memory over `limit` images; return how many were asked for at once."""
    original, asked = model.predict_on_batch, []

    def limited(values: np.ndarray) -> Any:
        asked.append(len(values))
        if len(values) > limit:
            raise full()
        return original(values)

    monkeypatch.setattr(model, "predict_on_batch", limited)
    return asked


def test_a_frozen_part_that_does_not_fit_is_halved_and_the_batch_of_the_step_is_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    halves = cut_tiny()
    assert halves.prefix is not None
    train, val = computed(halves.prefix, 30, seed=0), computed(halves.prefix, 15, seed=1)
    strategy = strategy_config("fine_tuning", epochs=2, batch_size=12)
    trainable_part = TrainablePart(halves.suffix, BACKBONE, strategy, num_classes=3)
    initial = [trainable_part.initial_values(train, val, seed=0)]
    whole = trainable_part.fit([CANDIDATE], initial, train, val)[0]
    asked = limit_model(monkeypatch, halves.prefix, 4)
    fit = trainable_part.fit([CANDIDATE], initial, train, val)[0]
    assert fit.accumulation_steps == 1
    assert_close(fit, whole)
    assert [number for number in asked if number > 4] in ([12, 6], [15, 7]), "what does not fit is tried once"


@pytest.mark.parametrize("limit", [1, 2, 5, 7])
def test_every_output_of_a_model_is_halved_the_same_way(monkeypatch: pytest.MonkeyPatch, limit: int) -> None:
    values = keras.Input((8,))
    hidden = keras.layers.Dense(4)(values)
    model = keras.Model(values, [hidden, keras.layers.Dense(2)(hidden)])
    batch = blobs(15, (8,), seed=0).values[0]
    whole = predicted(model, batch)
    limit_model(monkeypatch, model, limit)
    for one, other in zip(predicted(model, batch), whole, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)


def test_a_frozen_part_that_takes_no_image_is_one_line_that_does_not_make_it_larger(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    halves = cut_tiny()
    assert halves.prefix is not None
    limit_model(monkeypatch, halves.prefix, 0)
    train = computed(halves.prefix, 30, seed=0)
    fitter = Fitter(halves.suffix, SCHEDULE)
    with pytest.raises(MemoryLimitError, match="a prediction of one image to fit .* smaller backbone") as refused:
        fitter.fit(CANDIDATE, halves.suffix.get_weights(), train, train)
    assert "boundary" not in str(refused.value)


def test_throughput_is_that_of_a_batch_that_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    prefix = cut_tiny().prefix
    assert prefix is not None
    few = Repetitions(seconds=0.0, fewest=1, most=1, warm_up=1)
    assert speed_of(prefix.predict_on_batch, 16, few).throughput_batch_size == 32
    limit_model(monkeypatch, prefix, 9)
    assert speed_of(prefix.predict_on_batch, 16, few).throughput_batch_size == 8
    limit_model(monkeypatch, prefix, 0)
    with pytest.raises(MemoryLimitError):
        speed_of(prefix.predict_on_batch, 16, few)
