import keras
import numpy as np
import pytest

from backbench.adaptation.schedule import Hyperparameters, loss_and_accuracy
from backbench.adaptation.strategies import TrainablePart
from backbench.features.activations import Activations
from backbench.features.freezing import CutModel, cut
from backbench.runtime.errors import DivergedError
from tests.support.configs import strategy_config
from tests.support.tiny import BACKBONE, FEATURE_DIM, FINE_TUNING, blobs, cut_tiny


@pytest.fixture(scope="module")
def data() -> tuple[Activations, Activations]:
    return blobs(24, (8, 8, 8), num_views=2, seed=0), blobs(15, (8, 8, 8), seed=1)


def statistics(model: keras.Model) -> dict[str, np.ndarray]:
    norms = [layer for layer in model.layers if isinstance(layer, keras.layers.BatchNormalization)]
    return {
        f"{norm.name}/{name}": keras.ops.convert_to_numpy(getattr(norm, name))
        for norm in norms
        for name in ("moving_mean", "moving_variance")
    }


@pytest.fixture(scope="module")
def fine_tuned(
    data: tuple[Activations, Activations],
) -> tuple[CutModel, TrainablePart, dict[str, np.ndarray], list, list]:
    halves = cut_tiny()
    assert halves.prefix is not None
    assert halves.suffix is not None
    before = statistics(halves.prefix) | statistics(halves.suffix)
    frozen = halves.prefix.get_weights()
    trainable_part = TrainablePart(halves.suffix, BACKBONE, FINE_TUNING, num_classes=3)
    initial = trainable_part.initial_values(*data, seed=0)
    (fit,) = trainable_part.fit([Hyperparameters(0.01, 0.0, seed=0)], [initial], *data)
    trainable_part.model.set_weights(fit.weights)
    assert any(not np.array_equal(a, b) for a, b in zip(initial, fit.weights, strict=True))
    return halves, trainable_part, before, frozen, initial


def test_no_batch_norm_statistic_moves_below_or_above_the_boundary(fine_tuned: tuple) -> None:
    halves, _, before, _, _ = fine_tuned
    after = statistics(halves.prefix) | statistics(halves.suffix)
    assert before.keys() == after.keys()
    assert all(np.array_equal(before[name], after[name]) for name in before)


def test_frozen_weights_do_not_change(fine_tuned: tuple) -> None:
    halves, _, _, frozen, _ = fine_tuned
    assert all(np.array_equal(a, b) for a, b in zip(frozen, halves.prefix.get_weights(), strict=True))


def test_batch_norm_statistics_move_when_the_strategy_says_so(data: tuple[Activations, Activations]) -> None:
    halves = cut_tiny()
    assert halves.suffix is not None
    before = statistics(halves.suffix)
    strategy = strategy_config("fine_tuning", epochs=2, batch_size=8, linear_probe_warmup=None, train_batch_norm=True)
    trainable_part = TrainablePart(halves.suffix, BACKBONE, strategy, num_classes=3)
    (fit,) = trainable_part.fit([Hyperparameters(0.01, 0.0, 0)], [trainable_part.initial_values(*data, seed=0)], *data)
    trainable_part.model.set_weights(fit.weights)
    assert any(not np.array_equal(before[name], value) for name, value in statistics(halves.suffix).items())


def test_fine_tuning_starts_from_a_trained_head(fine_tuned: tuple, data: tuple[Activations, Activations]) -> None:
    _, trainable_part, _, _, initial = fine_tuned
    trained_loss, _ = loss_and_accuracy(trainable_part.logits(data[1], initial), data[1].labels)
    assert trained_loss < 0.9 * np.log(3)


def test_a_linear_probe_warmup_that_diverges_at_every_rate_is_one_line(data: tuple[Activations, Activations]) -> None:
    far_too_high = {"epochs": 2, "learning_rates": [1e30], "weight_decay": 1e30}
    strategy = strategy_config("fine_tuning", batch_size=8, linear_probe_warmup=far_too_high)
    with pytest.raises(DivergedError, match=r"every one diverged: .*; lower linear_probe_warmup\.learning_rates"):
        TrainablePart(cut_tiny().suffix, BACKBONE, strategy, num_classes=3).initial_values(*data, seed=0)


def test_the_same_seed_starts_the_same_and_seeds_differ(fine_tuned: tuple, data: tuple) -> None:
    _, trainable_part, _, _, initial = fine_tuned
    again, other = trainable_part.initial_values(*data, seed=0), trainable_part.initial_values(*data, seed=1)
    assert all(np.array_equal(a, b) for a, b in zip(initial, again, strict=True))
    assert any(not np.array_equal(a, b) for a, b in zip(initial, other, strict=True))


def test_feature_extraction_trains_the_head_alone() -> None:
    halves = cut(cut_tiny().suffix, "output")
    strategy = strategy_config("feature_extraction")
    trainable_part = TrainablePart(halves.suffix, BACKBONE, strategy, num_classes=3)
    assert trainable_part.num_trainable_parameters == FEATURE_DIM * 3 + 3


def test_dropout_inside_the_suffix_wakes_up_in_training_only(fine_tuned: tuple, data: tuple) -> None:
    """Unlike BatchNorm, it must: a fine-tuned backbone is regularised as it was when it was pretrained."""
    _, trainable_part, _, _, _ = fine_tuned
    values = data[0].values[0][:4]
    awake = [keras.ops.convert_to_numpy(trainable_part.model(values, training=True)) for _ in range(2)]
    asleep = [keras.ops.convert_to_numpy(trainable_part.model(values, training=False)) for _ in range(2)]
    assert not np.array_equal(awake[0], awake[1])
    assert np.array_equal(asleep[0], asleep[1])
