"""Weights and images that anybody can draw again: each array is a function of a seed and its own name."""

from collections.abc import Mapping

import numpy as np

SEED = 20
CONTRASTS = (1.0, 2.0)


def drawn_arrays(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, np.ndarray]:
    """Draw a state dictionary in timm's layout.

    Kernels are He's (https://arxiv.org/abs/1502.01852). A scale below 1 keeps a sum of many blocks from exploding;
    statistics away from 0 and 1 and shifts away from 0 make every one of them matter.
    """
    return {name: _drawn(name, shape) for name, shape in shapes.items()}


def drawn_images(size_pixels: int) -> np.ndarray:
    """Draw preprocessed images of shape `(2, size, size, 3)`, float32, about as large as real ones.

    They differ in contrast, because a deep network under drawn weights makes images of one contrast almost equal.
    """
    images = _random("images").normal(size=(len(CONTRASTS), size_pixels, size_pixels, 3))
    return (images * np.reshape(CONTRASTS, (-1, 1, 1, 1))).astype("float32")


def _drawn(name: str, shape: tuple[int, ...]) -> np.ndarray:
    random = _random(name)
    if name.endswith("num_batches_tracked"):
        return np.zeros(shape, "int64")
    if len(shape) > 1:
        values = random.normal(size=shape) * np.sqrt(2 / np.prod(shape[1:]))
    elif name.endswith("running_var"):
        values = random.uniform(0.5, 1.5, size=shape)
    elif name.endswith("weight"):
        values = random.uniform(0.5, 1.0, size=shape)
    else:
        values = random.normal(scale=0.1, size=shape)
    return values.astype("float32")


def _random(name: str) -> np.random.Generator:
    return np.random.default_rng([SEED, *name.encode()])
