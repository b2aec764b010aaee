"""Give this project's graphs the weights that timm publishes for them, without PyTorch and without unpickling.

timm names its arrays `layer2.0.conv1.weight` or `blocks.1.0.bn2.running_mean`. Each name follows from that of the Keras
layer, so there is no table of arrays: only of the parts that a block has.
"""

import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import NamedTuple

import keras
import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file

from backbench.runtime.errors import WeightsError

STEM_AND_HEAD = {
    "conv1_conv": "conv1",
    "conv1_bn": "bn1",
    "stem_conv": "conv_stem",
    "stem_bn": "bn1",
    "top_conv": "conv_head",
    "top_bn": "bn2",
}
RESIDUAL = re.compile(r"conv(?P<stage>\d+)_block(?P<block>\d+)_(?P<part>\d_(conv|bn))")
RESIDUAL_PARTS = {
    "0_conv": "downsample.0",
    "0_bn": "downsample.1",
    **{f"{position}_{kind}": f"{kind}{position}" for position in (1, 2, 3) for kind in ("conv", "bn")},
}
INVERTED_RESIDUAL = re.compile(r"block(?P<stage>\d+)(?P<block>[a-z])_(?P<part>\w+)")
INVERTED_RESIDUAL_PARTS = {
    "expand_conv": "conv_pw",
    "expand_bn": "bn1",
    "dwconv": "conv_dw",
    "bn": "bn2",
    "project_conv": "conv_pwl",
    "project_bn": "bn3",
}
# The first stage does not expand, so that timm counts its parts from one fewer.
SEPARABLE_PARTS = {"dwconv": "conv_dw", "bn": "bn1", "project_conv": "conv_pw", "project_bn": "bn2"}
VARIABLES = {
    "kernel": "weight",
    "bias": "bias",
    "gamma": "weight",
    "beta": "bias",
    "moving_mean": "running_mean",
    "moving_variance": "running_var",
}
CLASSIFIERS = ("fc.", "classifier.")
COUNTER = ".num_batches_tracked"


class Place(NamedTuple):
    """Where an array goes: a variable, and the array's axes in the order of the variable's."""

    variable: keras.Variable
    axes: tuple[int, ...]

    @property
    def timm_shape(self) -> tuple[int, ...]:
        """The shape that the array must have."""
        return tuple(self.variable.shape[self.axes.index(axis)] for axis in range(len(self.axes)))


def load_timm(model: keras.Model, path: Path) -> None:
    """Give a backbone the weights of a file of timm's.

    Args:
        model: Built by `resnext` or `efficientnet_lite`.
        path: A `.safetensors` file: `model.safetensors` of a timm repository of a model hub.

    Raises:
        WeightsError: the file cannot be read, or holds the arrays of another model.
    """
    try:
        arrays = load_file(path)
    except (OSError, SafetensorError) as error:
        reason = str(error).splitlines()[0]
        raise WeightsError(
            f"{path}: expected a whole safetensors file, found none ({reason}); fetch model.safetensors again"
        ) from error
    set_timm_weights(model, arrays, source=str(path))


def set_timm_weights(model: keras.Model, arrays: Mapping[str, np.ndarray], *, source: str) -> None:
    """Give a backbone the arrays of timm's state dictionary; all of them, or none where one does not fit.

    Args:
        model: Built by `resnext` or `efficientnet_lite`.
        arrays: Under timm's names and with timm's axes. The classifier and counters of batches are passed over.
        source: What an error message calls the arrays.

    Raises:
        WeightsError: an array is missing, left over, or has another shape than the model's.
    """
    places = timm_places(model)
    used = {name for name in arrays if not name.startswith(CLASSIFIERS) and not name.endswith(COUNTER)}
    _refuse_any(places.keys() - used, f"{source}: expected every array of {model.name}, found none called")
    _refuse_any(used - places.keys(), f"{source}: expected only arrays of {model.name}, found also")
    for name, place in places.items():
        if arrays[name].shape != place.timm_shape:
            raise WeightsError(
                f"{source}: expected {name} of shape {place.timm_shape} for {model.name}, "
                f"found {arrays[name].shape}; use the file that was published for this model"
            )
    for name, place in places.items():
        place.variable.assign(np.transpose(arrays[name], place.axes))


def _refuse_any(names: Collection[str], message: str) -> None:
    if names:
        others = f" and {len(names) - 1} more" if len(names) > 1 else ""
        raise WeightsError(f"{message} {min(names)}{others}; use the file that was published for this model")


def timm_places(model: keras.Model) -> dict[str, Place]:
    """Map timm's name of every array that a backbone holds to its place.

    Raises:
        WeightsError: a layer is none that timm has a name for.
    """
    return {
        f"{_timm_layer(layer.name)}.{VARIABLES[variable.name]}": Place(variable, _axes(layer, variable))
        for layer in model.layers
        for variable in layer.weights
    }


def _axes(layer: keras.Layer, variable: keras.Variable) -> tuple[int, ...]:
    """PyTorch's kernels are `(output, input, height, width)`; a depthwise one's input is a single channel."""
    if len(variable.shape) == 1:
        return (0,)
    return (2, 3, 0, 1) if isinstance(layer, keras.layers.DepthwiseConv2D) else (2, 3, 1, 0)


def _timm_layer(name: str) -> str:
    if name in STEM_AND_HEAD:
        return STEM_AND_HEAD[name]
    if match := RESIDUAL.fullmatch(name):
        return f"layer{int(match['stage']) - 1}.{int(match['block']) - 1}.{RESIDUAL_PARTS[match['part']]}"
    if match := INVERTED_RESIDUAL.fullmatch(name):
        parts = SEPARABLE_PARTS if match["stage"] == "1" else INVERTED_RESIDUAL_PARTS
        if match["part"] in parts:
            return f"blocks.{int(match['stage']) - 1}.{ord(match['block']) - ord('a')}.{parts[match['part']]}"
    raise WeightsError(
        f"expected a layer of resnext or efficientnet_lite, found {name!r}; "
        "only their backbones take the layout timm in `pretrained`"
    )
