import random

import keras
import numpy as np
import pytest
import tensorflow as tf

from backbench.compat.networks.keras_random import random_states, reseed, seed_all_but_tensorflow, seed_everything


def draws() -> list[float]:
    return [random.random(), float(np.random.random()), float(keras.random.uniform(()))]


def test_all_is_seeded_but_tensorflow(monkeypatch: pytest.MonkeyPatch) -> None:
    seeded: list[int] = []
    seed_everything(3)
    expected = draws()
    monkeypatch.setattr(tf.random, "set_seed", seeded.append)
    seed_all_but_tensorflow(3)
    assert draws() == expected
    assert seeded == []
    seed_everything(4)
    assert seeded == [4]


def test_the_state_of_every_generator_is_found_and_decides_what_is_drawn() -> None:
    inner = keras.Sequential([keras.Input((100,)), keras.layers.Dropout(0.5)])
    model = keras.Sequential([keras.Input((100,)), keras.layers.Dense(100), inner, keras.layers.GaussianNoise(1.0)])
    states = random_states(model)
    assert len(states) == 2
    ones = np.ones((1, 100), "float32")

    def drawn(seed: int) -> np.ndarray:
        for state in states:
            reseed(state, seed)
        return np.asarray(model(ones, training=True))

    first = drawn(1)
    np.testing.assert_array_equal(drawn(1), first)
    assert not np.array_equal(drawn(2), first)
    assert not {id(state) for state in states} & {id(weight) for weight in model.weights}
