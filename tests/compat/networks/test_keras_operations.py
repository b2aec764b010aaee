from typing import Any

import keras
import numpy as np

from backbench.compat.networks.keras_operations import traced_calls


class Hiding(keras.layers.Layer):  # type: ignore[misc] # Keras carries no types
    """Multiplies by itself, and by a layer of Keras's own that it hides."""

    def __init__(self) -> None:
        super().__init__()
        self.dense = keras.layers.Dense(5)

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        self.dense.build(input_shape)

    def call(self, values: Any) -> Any:
        return keras.ops.matmul(self.dense(values), np.ones((5, 2), "float32"))


def test_calls_of_keras_own_layers_of_others_and_of_nested_models_are_seen_and_nothing_is_left_replaced() -> None:
    before = keras.ops.matmul
    inner_input = keras.Input((8, 8, 3))
    inner = keras.Model(inner_input, keras.layers.Conv2D(4, 3)(inner_input))
    images = keras.Input((8, 8, 3))
    pooled = keras.layers.GlobalAveragePooling2D()(inner(images))
    model = keras.Model(images, Hiding()(pooled))
    calls = traced_calls(model, "conv", "matmul", "einsum")
    seen = [(call.name, tuple(map(int, call.output.shape)), len(call.arguments)) for call in calls]
    assert seen == [("conv", (1, 6, 6, 4), 2), ("matmul", (1, 5), 2), ("matmul", (1, 2), 2)]
    assert keras.ops.matmul is before
    assert keras.layers.Dense(2)(keras.ops.ones((1, 3))).shape == (1, 2)
    assert len(calls) == 3
