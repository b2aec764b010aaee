"""A backbone of a few hundred parameters that has what matters: BatchNorm, a branch, dropout, pooling."""

import time

import keras
import numpy as np

from backbench.config.backbone_config import BackboneConfig
from backbench.features.activations import Activations
from backbench.features.freezing import CutModel, cut, resolve_boundary
from tests.support.configs import strategy_config

FEATURE_DIM = 8
CONSTRUCTOR = "tests.support.tiny.TinyNet"
PREPROCESSOR = "tests.support.tiny.preprocess_input"
BACKBONE = BackboneConfig(
    name="tiny",
    family="tiny",
    constructor=CONSTRUCTOR,
    preprocessor=PREPROCESSOR,
    input_size_pixels=16,
    min_size_pixels=8,
    feature_dim=FEATURE_DIM,
    last_stage_boundary="stage_out",
)
FINE_TUNING = strategy_config(
    "fine_tuning",
    epochs=3,
    batch_size=8,
    linear_probe_warmup={"epochs": 5, "learning_rates": [0.01, 0.1], "weight_decay": 0.0},
)


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


def NamelessNet(  # noqa: N802 - it stands where a Keras constructor stands
    *, weights: str | None, include_top: bool, pooling: str, input_shape: tuple[int, int, int]
) -> keras.Model:
    """Two strides of layers whose names Keras makes up."""
    assert (weights, include_top, pooling) == (None, False, "avg")
    images = x = keras.Input(input_shape)
    for _ in range(2):
        x = keras.layers.Conv2D(FEATURE_DIM, 3, strides=2, padding="same", activation="relu")(x)
    return keras.Model(images, keras.layers.GlobalAveragePooling2D()(x), name="nameless")


def cut_tiny() -> CutModel:
    keras.utils.set_random_seed(3)
    model = TinyNet(weights=None, include_top=False, pooling="avg", input_shape=(16, 16, 3))
    return cut(model, resolve_boundary(model, BACKBONE, *FINE_TUNING.boundaries))


def preprocess_input(images: np.ndarray) -> np.ndarray:
    return images / 127.5 - 1.0


def preprocess_slowly(images: np.ndarray) -> np.ndarray:
    """Take as long as a large backbone does."""
    time.sleep(1.0)
    return preprocess_input(images)


def blobs(num_examples: int, shape: tuple[int, ...], *, num_views: int = 1, seed: int = 0) -> Activations:
    """Three classes that lie apart, as activations of the given shape."""
    centres = np.random.default_rng(99).normal(size=(3, *shape))
    random = np.random.default_rng(seed)
    labels = random.integers(3, size=num_examples).astype("int32")
    values = centres[labels] + 0.5 * random.normal(size=(num_views, num_examples, *shape))
    return Activations(values.astype("float32"), labels)
