"""Start a network without BatchNormalization at a scale where it learns."""

from typing import Any

import keras
import numpy as np

TINY = 1e-8


def has_batch_norm(model: keras.Model) -> bool:
    """Tell whether any layer normalizes over the batch."""
    return any(isinstance(layer, keras.layers.BatchNormalization) for layer in model.layers)


def scale_to_unit(model: keras.Model, batch: Any) -> None:
    """Rescale every convolution, in order, so that the root mean square of its output on a batch is 1.

    Args:
        model: A network whose convolutions have zero biases, as freshly built.
        batch: Preprocessed images `(n, size, size, 3)` float32.

    Source:
        Mishkin and Matas 2016, All You Need Is a Good Init, https://arxiv.org/abs/1511.06422.
    """
    for layer in model.layers:
        if isinstance(layer, keras.layers.Conv2D):
            output = np.asarray(keras.Model(model.input, layer.output).predict_on_batch(batch))
            layer.kernel.assign(layer.kernel / max(float(np.sqrt(np.mean(output**2))), TINY))
