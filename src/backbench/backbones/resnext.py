"""ResNeXt without classifier, from its paper.

Layers are named as keras.applications names ResNet's. Strides and borders are those of PyTorch, with which the
published weights were trained: the 3×3 convolution has the stride, and a border is padded alike on all sides.

Source:
    Xie et al., Aggregated Residual Transformations for Deep Neural Networks, https://arxiv.org/abs/1611.05431.
"""

from typing import Unpack

import keras
from keras import layers

from backbench.backbones.graph import Call, pooled_backbone

STEM_FILTERS = 64
FIRST_STAGE_FILTERS = 256
BATCH_NORM = {"epsilon": 1e-5, "momentum": 0.9}


def resnext(*, depths: list[int], groups: int, width_per_group: int, **call: Unpack[Call]) -> keras.Model:
    """Build a ResNeXt: preprocessed images `(batch, height, width, 3)` to `(batch, 2048)`, if it has four stages.

    Args:
        depths: How many blocks each stage has.
        groups: How many paths a block has, which the paper calls its cardinality.
        width_per_group: Channels of a path in the first stage; every stage doubles them.
        call: As `pooled_backbone` takes it.

    Raises:
        ConfigError: the call asks for a classifier, another pooling, or weights.
    """

    def features(images: keras.KerasTensor) -> keras.KerasTensor:
        x = _stem(images)
        for stage, depth in enumerate(depths):
            filters, width = FIRST_STAGE_FILTERS * 2**stage, groups * width_per_group * 2**stage
            for block in range(depth):
                name = f"conv{stage + 2}_block{block + 1}"
                shortcut = x if block else _conv_norm(x, f"{name}_0", filters, 1, strides=2 if stage else 1)
                branch = _branch(x, name, filters, width, groups, strides=2 if stage and not block else 1)
                x = layers.ReLU(name=f"{name}_out")(layers.Add(name=f"{name}_add")([shortcut, branch]))
        return x

    return pooled_backbone(features, f"resnext{3 * sum(depths) + 2}_{groups}x{width_per_group}d", **call)


def _stem(images: keras.KerasTensor) -> keras.KerasTensor:
    x = _conv_norm(images, "conv1", STEM_FILTERS, 7, strides=2)
    x = layers.ReLU(name="conv1_relu")(x)
    # Zeros are no larger than what a ReLU puts out, so they are as good a border as PyTorch's minus infinity.
    x = layers.ZeroPadding2D(1, name="pool1_pad")(x)
    return layers.MaxPooling2D(3, strides=2, name="pool1_pool")(x)


def _branch(
    x: keras.KerasTensor, name: str, filters: int, width: int, groups: int, *, strides: int
) -> keras.KerasTensor:
    x = layers.ReLU(name=f"{name}_1_relu")(_conv_norm(x, f"{name}_1", width, 1))
    x = _conv_norm(x, f"{name}_2", width, 3, strides=strides, groups=groups)
    x = layers.ReLU(name=f"{name}_2_relu")(x)
    return _conv_norm(x, f"{name}_3", filters, 1)


def _conv_norm(
    x: keras.KerasTensor, name: str, filters: int, kernel_size: int, *, strides: int = 1, groups: int = 1
) -> keras.KerasTensor:
    if kernel_size > 1:
        x = layers.ZeroPadding2D(kernel_size // 2, name=f"{name}_pad")(x)
    conv = layers.Conv2D(filters, kernel_size, strides=strides, groups=groups, use_bias=False, name=f"{name}_conv")
    return layers.BatchNormalization(**BATCH_NORM, name=f"{name}_bn")(conv(x))
