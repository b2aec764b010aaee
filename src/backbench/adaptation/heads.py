"""The new classifier that stands on a backbone's pooled features."""

import keras
import numpy as np

from backbench.config.strategy_config import HeadConfig
from backbench.features.activations import ActivationSource, in_order, kept_views

STANDARDISE = "standardise"
LEAST_RELATIVE_VARIANCE = 1e-3


def build_head(feature_dim: int, num_classes: int, config: HeadConfig, *, seed: int) -> keras.Model:
    """Build a head: `(batch, feature_dim)` float32 to logits of shape `(batch, num_classes)`.

    Its first layer standardises the features by fixed statistics (see `standardise`), so that one
    range of learning rates serves every backbone, whatever the scale of its features.

    Source:
        A parameter-free normalisation before the linear probe: MAE, https://arxiv.org/abs/2111.06377, A.1.
    """
    initializer = keras.initializers.GlorotUniform(seed=seed)
    features = keras.Input((feature_dim,), name="features")
    # A BatchNormalization that is not trainable is a fixed shift and scale whose statistics are saved with the weights.
    hidden = keras.layers.BatchNormalization(
        center=False, scale=False, epsilon=1e-12, trainable=False, name=STANDARDISE
    )(features)
    if config.hidden_units:
        hidden = keras.layers.Dense(config.hidden_units, "relu", kernel_initializer=initializer, name="hidden")(hidden)
    if config.dropout:
        hidden = keras.layers.Dropout(config.dropout, seed=seed, name="dropout")(hidden)
    logits = keras.layers.Dense(num_classes, kernel_initializer=initializer, name="logits")(hidden)
    return keras.Model(features, logits, name="head")


def above_boundary(suffix: keras.Model | None, head: keras.Model) -> keras.Model:
    """Put a head on a backbone's suffix, if there is one: activations `(batch, *boundary_shape)` to logits."""
    if suffix is None:
        return head
    activations = keras.Input(suffix.input_shape[1:], name="activations")
    return keras.Model(activations, head(suffix(activations)))


def feature_statistics(features: ActivationSource) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and variance of every feature, float32 `(feature_dim,)`, over all examples and kept views.

    Read batch by batch: memory stays flat whatever the number of examples.
    """
    count, total, squares = 0, np.zeros(()), np.zeros(())
    origin: np.ndarray | None = None
    for view in kept_views(features):
        for num_real, batch in in_order(features, view=view):
            exact = batch[:num_real].astype(np.float64)
            # Around a value of their own size, the sum of squares does not cancel.
            origin = exact.mean(axis=0) if origin is None else origin
            count += num_real
            total = total + (exact - origin).sum(axis=0)
            squares = squares + np.square(exact - origin).sum(axis=0)
    assert origin is not None
    shift = total / count
    return (origin + shift).astype("float32"), (squares / count - np.square(shift)).astype("float32")


def standardise(head: keras.Model, features: ActivationSource) -> None:
    """Fix the standardisation of a head from `build_head` to the statistics of training features.

    They are `(feature_dim,)` per example; every kept view counts. A feature that hardly varies over them is not blown
    up: its variance counts as at least a thousandth of the mean variance.
    """
    mean, variance = feature_statistics(features)
    floor = max(LEAST_RELATIVE_VARIANCE * float(variance.mean()), 1e-12)
    head.get_layer(STANDARDISE).set_weights([mean, np.maximum(variance, floor)])
