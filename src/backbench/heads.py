"""The new classifier that stands on a backbone's pooled features."""

import keras
import numpy as np

from backbench.config import HeadConfig

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


def standardise(head: keras.Model, features: np.ndarray) -> None:
    """Fix the head's standardisation to the statistics of training features.

    Args:
        head: Made by `build_head`.
        features: float32 `(num_examples, feature_dim)`. A feature that hardly varies over them is not
            blown up: its variance counts as at least a thousandth of the mean variance.
    """
    variance = features.var(axis=0)
    floor = max(LEAST_RELATIVE_VARIANCE * float(variance.mean()), 1e-12)
    head.get_layer(STANDARDISE).set_weights([features.mean(axis=0), np.maximum(variance, floor)])
