from typing import Any

import keras
import numpy as np

from backbench.compat.networks.keras_graph import calls_in_order, nested_layers, traced_calls


def test_every_call_is_there_once_in_order_with_its_tensors() -> None:
    """A layer that is called twice, here and in another model too, and an operation that is no layer."""
    relu = keras.layers.ReLU(name="relu")
    relu(keras.Input((3,)))
    images = keras.Input((4,))
    hidden = relu(keras.layers.Dense(4, name="first")(images))
    model = keras.Model(images, relu(hidden + images))
    calls = calls_in_order(model)
    first, relu_below, add, relu_above = calls
    assert [call.operation.name for call in calls] == ["first", "relu", add.operation.name, "relu"]
    assert not isinstance(add.operation, keras.Layer)
    assert first.input_tensors[0] is images
    assert add.input_tensors[0] is relu_below.outputs[0]
    assert relu_above.outputs[0] is model.outputs[0]


def test_layers_inside_layers_are_found_and_an_operation_has_none() -> None:
    inner = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2, name="dense")], name="inner")
    outer = keras.Sequential([keras.Input((4,)), inner], name="outer")
    assert {"outer", "inner", "dense"} <= {layer.name for layer in nested_layers(outer)}
    assert nested_layers(keras.layers.ReLU(name="alone"))[0].name == "alone"
    images = keras.Input((4,))
    (add,) = calls_in_order(keras.Model(images, images + images))
    assert nested_layers(add.operation) == []


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
