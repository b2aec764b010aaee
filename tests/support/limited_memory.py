"""A backend whose memory is full as soon as it is to hold more than so much at once."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest


def full() -> Exception:
    """What TensorFlow raises; imported here, for a cell on another backend is to run without it."""
    import tensorflow as tf

    return tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor")


def num_images(model: keras.Model, values: np.ndarray) -> int:
    return len(values)


def num_heads(model: keras.Model, values: np.ndarray) -> int:
    return int(model.output_shape[-1])


def limit_memory(
    monkeypatch: pytest.MonkeyPatch, method: str, limit: int, count: Callable[..., int] = num_images
) -> None:
    """Make a method of models raise what TensorFlow raises, where it is to hold more than `limit` at once."""
    original = getattr(keras.Model, method)

    def limited(self: keras.Model, values: np.ndarray, *arguments: Any) -> Any:
        if count(self, values) > limit:
            raise full()
        return original(self, values, *arguments)

    monkeypatch.setattr(keras.Model, method, limited)
