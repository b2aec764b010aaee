"""EfficientNet-Lite without classifier, from its authors' description.

It is EfficientNet without squeeze-and-excitation, with ReLU6 in place of swish, and with a stem, a head, a first and a
last stage that do not grow with the model. Layers are named as keras.applications names EfficientNet's.

Source:
    Tan and Le, EfficientNet, https://arxiv.org/abs/1905.11946; what is different in Lite:
    https://github.com/tensorflow/tpu/tree/master/models/official/efficientnet/lite.
"""

import math
from collections.abc import Iterator
from typing import NamedTuple, Unpack

import keras
from keras import layers

from backbench.backbones.graph import Call, pooled_backbone

STEM_FILTERS, HEAD_FILTERS = 32, 1280
FILTER_MULTIPLE = 8
LARGEST_LOSS_OF_FILTERS = 0.1
BATCH_NORM = {"epsilon": 1e-3, "momentum": 0.99}


class Stage(NamedTuple):
    """Blocks of one resolution in Lite0; the first of them has the stride."""

    kernel_size: int
    strides: int
    expansion: int
    filters: int
    repeats: int


STAGES = (
    Stage(kernel_size=3, strides=1, expansion=1, filters=16, repeats=1),
    Stage(kernel_size=3, strides=2, expansion=6, filters=24, repeats=2),
    Stage(kernel_size=5, strides=2, expansion=6, filters=40, repeats=2),
    Stage(kernel_size=3, strides=2, expansion=6, filters=80, repeats=3),
    Stage(kernel_size=5, strides=1, expansion=6, filters=112, repeats=3),
    Stage(kernel_size=5, strides=2, expansion=6, filters=192, repeats=4),
    Stage(kernel_size=3, strides=1, expansion=6, filters=320, repeats=1),
)


def efficientnet_lite(*, width_coefficient: float, depth_coefficient: float, **call: Unpack[Call]) -> keras.Model:
    """Build an EfficientNet-Lite: preprocessed images `(batch, height, width, 3)` to `(batch, 1280)`.

    Args:
        width_coefficient: Multiplies the channels of every stage.
        depth_coefficient: Multiplies the blocks of every stage but the first and the last.
        call: As `pooled_backbone` takes it.

    Raises:
        ConfigError: the call asks for a classifier, another pooling, or weights.
    """

    def features(images: keras.KerasTensor) -> keras.KerasTensor:
        x = layers.Conv2D(STEM_FILTERS, 3, strides=2, padding="same", use_bias=False, name="stem_conv")(images)
        x = _activated(x, "stem")
        for name, block in _blocks(width_coefficient, depth_coefficient):
            x = _inverted_residual(x, name, block)
        return _activated(_pointwise(x, HEAD_FILTERS, "top"), "top")

    return pooled_backbone(features, "efficientnet_lite", **call)


def scaled_filters(filters: int, coefficient: float) -> int:
    """Scale a number of filters to the nearest multiple of 8, or the next one where that loses more than a tenth.

    Source:
        `round_filters` of the authors' efficientnet_builder.py.
    """
    scaled = filters * coefficient
    nearest = max(FILTER_MULTIPLE, int(scaled + FILTER_MULTIPLE / 2) // FILTER_MULTIPLE * FILTER_MULTIPLE)
    return nearest if nearest >= (1 - LARGEST_LOSS_OF_FILTERS) * scaled else nearest + FILTER_MULTIPLE


def _blocks(width_coefficient: float, depth_coefficient: float) -> Iterator[tuple[str, Stage]]:
    """Yield every block's name, `block2a` being the first of the second stage, and its scaled shape."""
    for number, stage in enumerate(STAGES, start=1):
        is_fixed = number in (1, len(STAGES))
        filters = scaled_filters(stage.filters, width_coefficient)
        for index in range(stage.repeats if is_fixed else math.ceil(stage.repeats * depth_coefficient)):
            strides = 1 if index else stage.strides
            yield f"block{number}{chr(ord('a') + index)}", stage._replace(filters=filters, strides=strides, repeats=1)


def _inverted_residual(x: keras.KerasTensor, name: str, block: Stage) -> keras.KerasTensor:
    shortcut, channels = x, x.shape[-1]
    if block.expansion > 1:
        x = _activated(_pointwise(x, channels * block.expansion, f"{name}_expand"), f"{name}_expand")
    depthwise = layers.DepthwiseConv2D(
        block.kernel_size, strides=block.strides, padding="same", use_bias=False, name=f"{name}_dwconv"
    )
    x = _activated(depthwise(x), name)
    x = _pointwise(x, block.filters, f"{name}_project")
    x = layers.BatchNormalization(**BATCH_NORM, name=f"{name}_project_bn")(x)
    has_shortcut = block.strides == 1 and channels == block.filters
    return layers.Add(name=f"{name}_add")([shortcut, x]) if has_shortcut else x


def _pointwise(x: keras.KerasTensor, filters: int, name: str) -> keras.KerasTensor:
    return layers.Conv2D(filters, 1, use_bias=False, name=f"{name}_conv")(x)


def _activated(x: keras.KerasTensor, name: str) -> keras.KerasTensor:
    x = layers.BatchNormalization(**BATCH_NORM, name=f"{name}_bn")(x)
    return layers.ReLU(max_value=6.0, name=f"{name}_activation")(x)
