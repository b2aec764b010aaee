import keras

from backbench.compat.networks.keras_graph import calls_in_order, nested_layers


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
