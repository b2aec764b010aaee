"""A backbone of a few hundred parameters that has what matters: BatchNorm, a branch, dropout, pooling."""

import keras
import numpy as np

from backbench.features.activations import Activations

FEATURE_DIM = 8
CONSTRUCTOR = "tests.support.tiny.TinyNet"
PREPROCESSOR = "tests.support.tiny.preprocess_input"


def TinyNet(  # noqa: N802 - it stands where a Keras constructor stands
    *, weights: str | None, include_top: bool, pooling: str, input_shape: tuple[int, int, int]
) -> keras.Model:
    assert weights is None
    assert not include_top
    assert pooling == "avg"
    layers = keras.layers
    images = keras.Input(input_shape)
    x = layers.Conv2D(8, 3, strides=2, padding="same", name="stem")(images)
    x = layers.BatchNormalization(name="stem_norm", momentum=0.5)(x)
    x = layers.ReLU(name="stem_out")(x)
    branch = layers.Conv2D(8, 3, padding="same", name="branch")(x)
    branch = layers.BatchNormalization(name="branch_norm", momentum=0.5)(branch)
    x = layers.Add(name="stage_out")([x, branch])
    x = layers.Dropout(0.2, name="drop", seed=1)(x)
    x = layers.Conv2D(FEATURE_DIM, 1, name="last")(x)
    x = layers.BatchNormalization(name="last_norm", momentum=0.5)(x)
    return keras.Model(images, layers.GlobalAveragePooling2D(name="pool")(x), name="tiny")


def preprocess_input(images: np.ndarray) -> np.ndarray:
    return images / 127.5 - 1.0


def blobs(num_examples: int, shape: tuple[int, ...], *, num_views: int = 1, seed: int = 0) -> Activations:
    """Three classes that lie apart, as activations of the given shape."""
    centres = np.random.default_rng(99).normal(size=(3, *shape))
    random = np.random.default_rng(seed)
    labels = random.integers(3, size=num_examples).astype("int32")
    values = centres[labels] + 0.5 * random.normal(size=(num_views, num_examples, *shape))
    return Activations(values.astype("float32"), labels)
