"""The call that this project's own graphs share with keras.applications, and the one answer that they give to it."""

from collections.abc import Callable

import keras

from backbench.runtime.errors import ConfigError


def pooled_backbone(
    features: Callable[[keras.KerasTensor], keras.KerasTensor],
    *,
    name: str,
    weights: str | None,
    include_top: bool,
    pooling: str | None,
    input_shape: tuple[int, int, int],
) -> keras.Model:
    """Build a backbone from its layers: `(batch, height, width, 3)` to the mean of its last feature map.

    Args:
        features: Applies the layers to preprocessed images; its output has shape `(batch, height, width, feature_dim)`.
        name: The model's.
        weights: Must be None.
        include_top: Must be False.
        pooling: Must be `avg`.
        input_shape: `(height, width, 3)`.

    Raises:
        ConfigError: the call asks for a classifier, another pooling, or weights.
    """
    if weights is not None or include_top or pooling != "avg":
        raise ConfigError(
            f"{name}: expected weights None, include_top False and pooling 'avg', found {weights!r}, {include_top} "
            f"and {pooling!r}; build it so, and load its published weights afterwards (layout timm)"
        )
    images = keras.Input(input_shape)
    pooled = keras.layers.GlobalAveragePooling2D(name="avg_pool")(features(images))
    return keras.Model(images, pooled, name=name)
