"""Where a graph can be cut: branches, gates, shared layers, nested models, operations that are no layers."""

from fractions import Fraction

import keras
import numpy as np
import pytest

from backbench.backbones.cut_points import CutPoint, cut_points
from backbench.features.freezing import cut
from backbench.runtime.errors import BoundaryError
from tests.support.graphs import cut_point_names
from tests.support.tiny import TinyNet

LAYERS = keras.layers


def tiny() -> keras.Model:
    return TinyNet(weights=None, include_top=False, pooling="avg", input_shape=(16, 16, 3))


def place(model: keras.Model, name: str) -> CutPoint:
    return next(point for point in cut_points(model) if point.name == name)


def assert_recomposes_everywhere(model: keras.Model) -> None:
    images = np.random.default_rng(0).normal(size=(2, *model.input_shape[1:])).astype("float32")
    expected = np.asarray(model(images))
    assert np.ptp(expected) > 0
    for name in cut_point_names(model):
        halves = cut(model, name)
        assert halves.prefix is not None
        assert halves.suffix is not None
        np.testing.assert_allclose(np.asarray(halves.suffix(halves.prefix(images))), expected, atol=1e-6)


def test_a_tensor_beside_a_branch_is_no_articulation_point() -> None:
    assert cut_point_names(tiny()) == ["stem", "stem_norm", "stem_out", "stage_out", "drop", "last", "last_norm"]


def test_input_and_output_themselves_are_no_articulation_points() -> None:
    images = keras.Input((8, 8, 3), name="images")
    model = keras.Model(images, LAYERS.Conv2D(2, 1, name="only")(images))
    assert cut_point_names(model) == []


def test_a_clone_has_the_same_articulation_points_and_recomposes() -> None:
    model = tiny()
    clone = keras.models.clone_model(model, clone_function=lambda layer: type(layer).from_config(layer.get_config()))
    assert cut_point_names(clone) == cut_point_names(model)
    assert_recomposes_everywhere(clone)


def test_operations_that_are_no_layers_are_seen() -> None:
    """`x + y` consumes its operands and makes the tensor that a block passes on; it is no member of `model.layers`."""
    images = keras.Input((8, 8, 3))
    x = LAYERS.Conv2D(4, 3, padding="same", name="stem")(images)
    for block in range(2):
        y = LAYERS.Conv2D(4, 3, padding="same", name=f"conv_{block}")(x)
        x = x + keras.ops.relu(y)
    model = keras.Model(images, LAYERS.GlobalAveragePooling2D()(x))
    names = cut_point_names(model)
    assert len(names) == 3
    assert names[0] == "stem"
    assert not {"conv_0", "conv_1"} & set(names)
    assert_recomposes_everywhere(model)


def test_no_cut_runs_between_two_uses_of_the_same_weights() -> None:
    """Below the cut they would be frozen, above it they would train."""
    shared = LAYERS.Conv2D(3, 3, padding="same", name="shared")
    images = keras.Input((8, 8, 3))
    x = LAYERS.Conv2D(3, 1, name="before")(images)
    x = LAYERS.ReLU(name="between")(shared(x))
    x = LAYERS.Conv2D(5, 1, name="after")(shared(x))
    model = keras.Model(images, LAYERS.GlobalAveragePooling2D()(x))
    assert cut_point_names(model) == ["before", "shared", "after"]
    assert_recomposes_everywhere(model)


def test_weights_shared_through_a_nested_model_are_found() -> None:
    shared = LAYERS.Conv2D(3, 3, padding="same", name="shared")
    inner_input = keras.Input((8, 8, 3))
    inner = keras.Model(inner_input, shared(inner_input), name="inner")
    images = keras.Input((8, 8, 3))
    x = LAYERS.ReLU(name="between")(shared(images))
    model = keras.Model(images, LAYERS.GlobalAveragePooling2D()(LAYERS.ReLU(name="after")(inner(x))))
    assert cut_point_names(model) == ["inner", "after"]


def test_a_layer_without_weights_called_twice_is_the_name_of_its_last_call() -> None:
    relu = LAYERS.ReLU(name="relu")
    images = keras.Input((8, 8, 3))
    x = relu(LAYERS.Conv2D(4, 3, name="first")(images))
    x = relu(LAYERS.Conv2D(5, 3, name="second")(x))
    model = keras.Model(images, LAYERS.GlobalAveragePooling2D()(x))
    assert cut_point_names(model) == ["first", "second", "relu"]
    assert place(model, "relu").tensor.shape == (None, 4, 4, 5)
    assert_recomposes_everywhere(model)


def test_a_layer_that_another_model_uses_too_is_cut_at_its_call_in_this_one() -> None:
    stem = LAYERS.Conv2D(4, 3, name="stem")
    stem(keras.Input((32, 32, 3)))
    images = keras.Input((8, 8, 3))
    model = keras.Model(images, LAYERS.GlobalAveragePooling2D()(LAYERS.ReLU()(stem(images))))
    assert place(model, "stem").tensor.shape == (None, 6, 6, 4)
    assert_recomposes_everywhere(model)


def test_a_model_that_was_cut_before_can_be_cut_again() -> None:
    """A cut calls the layers anew, so that each of them has several calls."""
    model = tiny()
    before = cut_point_names(model)
    for name in before:
        cut(model, name)
    assert cut_point_names(model) == before
    assert_recomposes_everywhere(model)


def test_a_tensor_that_is_used_twice_by_one_operation_recomposes() -> None:
    images = keras.Input((8, 8, 3))
    x = LAYERS.Conv2D(4, 3, name="stem")(images)
    model = keras.Model(images, LAYERS.GlobalAveragePooling2D()(LAYERS.Multiply(name="square")([x, x])))
    assert cut_point_names(model) == ["stem", "square"]
    assert_recomposes_everywhere(model)


def test_an_output_that_nothing_uses_stands_in_no_cuts_way() -> None:
    images = keras.Input((8, 8, 3))
    left, _ = keras.ops.split(LAYERS.Conv2D(4, 3, name="stem")(images), 2, axis=-1)
    model = keras.Model(images, LAYERS.GlobalAveragePooling2D()(LAYERS.Conv2D(4, 1, name="after")(left)))
    assert cut_point_names(model) == ["stem", "after"]
    assert_recomposes_everywhere(model)


def nested() -> keras.Model:
    """A stem of stride 4 inside a Sequential, as in ConvNeXt, then a stage of stride 2 with a gate."""
    images = keras.Input((32, 32, 3))
    x = keras.Sequential([LAYERS.Conv2D(4, 4, strides=4), LAYERS.LayerNormalization()], name="patches")(images)
    x = LAYERS.ZeroPadding2D(1, name="pad")(x)
    x = LAYERS.SeparableConv2D(6, 3, strides=2, name="separable")(x)
    gate = LAYERS.GlobalAveragePooling2D(keepdims=True)(x)
    gate = LAYERS.Conv2D(6, 1, activation="sigmoid", name="gate")(gate)
    x = LAYERS.Multiply(name="gated")([x, gate])
    x = LAYERS.Conv2D(8, 3, name="unpadded")(x)
    return keras.Model(images, LAYERS.Dense(3)(LAYERS.GlobalAveragePooling2D(name="pool")(x)))


def test_a_nested_model_is_one_place() -> None:
    model = nested()
    assert cut_point_names(model) == ["patches", "pad", "separable", "gated", "unpadded", "pool"]
    assert_recomposes_everywhere(model)


def test_depth_counts_layers_with_a_kernel_nested_ones_and_separable_ones_once() -> None:
    above = {point.name: point.share_above for point in cut_points(nested())}
    assert above["patches"] == above["pad"] == Fraction(4, 5)
    assert above["separable"] == Fraction(3, 5)
    assert above["gated"] == Fraction(2, 5)
    assert above["unpadded"] == above["pool"] == Fraction(1, 5)


def test_a_stage_is_counted_in_strides_and_padding_belongs_to_none() -> None:
    """The unpadded convolution leaves a side of 2, which is 1/16 of the input's by size and 1/8 by stride."""
    stages = {point.name: point.stage for point in cut_points(nested())}
    assert stages == {"patches": 2, "pad": None, "separable": 3, "gated": 3, "unpadded": 3, "pool": None}


def test_a_nested_model_of_two_inputs_is_one_place() -> None:
    left, right = keras.Input((4, 4, 3)), keras.Input((4, 4, 3))
    merge = keras.Model([left, right], LAYERS.Add()([left, right]), name="merge")
    images = keras.Input((8, 8, 3))
    x = LAYERS.Conv2D(3, 1, strides=2, name="stem")(images)
    merged = merge([x, LAYERS.Conv2D(3, 1, name="branch")(x)])
    model = keras.Model(images, LAYERS.GlobalAveragePooling2D()(merged))
    assert [(point.name, point.stage) for point in cut_points(model)] == [("stem", 1), ("merge", 1)]
    assert_recomposes_everywhere(model)


def two_inputs() -> keras.Model:
    left, right = keras.Input((4,)), keras.Input((4,))
    return keras.Model([left, right], LAYERS.Add()([left, right]), name="two_inputs")


class Subclassed(keras.Model):
    def call(self, inputs: object) -> object:
        return inputs


@pytest.mark.parametrize("make", [two_inputs, lambda: Subclassed(name="subclassed")], ids=["two_inputs", "subclassed"])
def test_what_is_no_graph_from_one_input_to_one_output_is_refused(make: object) -> None:
    with pytest.raises(BoundaryError, match="expected a functional model with one input and one output, found"):
        cut_points(make())  # type: ignore[operator]
