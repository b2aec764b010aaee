"""A step that cannot fit is refused before it starts."""

import keras
import pytest

from backbench.adaptation.memory import available_bytes, require_memory, training_bytes
from backbench.runtime.errors import MemoryLimitError
from tests.support.configs import strategy_config


def dense(*, units: int = 50) -> keras.Model:
    values = keras.Input((10,))
    return keras.Model(values, keras.layers.Dense(units)(values))


def test_weights_count_four_times_and_outputs_once_per_image() -> None:
    weights = 4 * 4 * (10 * 50 + 50)
    per_image = 4 * 3 * 50
    assert training_bytes(dense(), 1) == weights + per_image
    assert training_bytes(dense(), 8) == weights + 8 * per_image


def test_frozen_weights_have_no_gradient_and_no_moments() -> None:
    model = dense()
    model.trainable = False
    assert training_bytes(model, 1) == 4 * (10 * 50 + 50) + 4 * 3 * 50


def test_a_step_that_cannot_fit_is_refused_and_accumulation_makes_it_fit() -> None:
    whole = strategy_config("fine_tuning", batch_size=32)
    parts = strategy_config("fine_tuning", batch_size=32, accumulation_steps=8)
    room = training_bytes(dense(), 4)
    with pytest.raises(MemoryLimitError, match=r"of 32 images to fit .* raise accumulation_steps in conf"):
        require_memory(dense(), whole, room)
    require_memory(dense(), parts, room)


def test_this_machine_has_memory() -> None:
    assert 10**8 < (available_bytes() or 0) < 10**14


def test_where_nothing_is_known_nothing_is_refused() -> None:
    require_memory(dense(), strategy_config("fine_tuning"), None)
