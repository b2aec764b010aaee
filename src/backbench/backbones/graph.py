"""Build a backbone's graph: the constructor of its library, thinned by a width factor.

A slim twin is the constructor's own graph, cloned layer by layer with every convolution's filters
scaled, so that it is the real architecture and only thinner.
"""

import importlib
from collections.abc import Callable
from typing import Any, TypedDict, Unpack

import keras

from backbench.config.backbone_config import BackboneConfig
from backbench.runtime.errors import ConfigError

FILTER_MULTIPLE = 8


def scaled_filters(filters: int, width: float) -> int:
    """Scale a number of filters and round to a multiple of 8, at least 8.

    Source:
        The rounding rule of MobileNetV2's width multiplier, https://arxiv.org/abs/1801.04381.
    """
    return max(FILTER_MULTIPLE, FILTER_MULTIPLE * round(filters * width / FILTER_MULTIPLE))


def imported(path: str) -> Callable[..., Any]:
    """Return the function or class that a dotted path names.

    Raises:
        ConfigError: there is no such module or name.
    """
    module_name, _, name = path.rpartition(".")
    try:
        found: Callable[..., Any] = getattr(importlib.import_module(module_name), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigError(f"expected the dotted path of a function, found {path!r} ({error}); correct it") from error
    return found


def _thinned_layer(layer: keras.Layer, width: float) -> keras.Layer:
    config = layer.get_config()
    if "filters" in config:
        config["filters"] = scaled_filters(config["filters"], width)
    elif isinstance(layer, keras.layers.Reshape) and tuple(config["target_shape"][:2]) == (1, 1):
        # Squeeze-and-excitation spells its channel count out in a Reshape.
        config["target_shape"] = (1, 1, scaled_filters(config["target_shape"][2], width))
    return type(layer).from_config(config)


def build_graph(config: BackboneConfig, *, weights: str | None = None) -> keras.Model:
    """Build the backbone with pooled output: `(batch, size, size, 3)` float32 to `(batch, feature_dim)`.

    Args:
        config: The backbone; its `constructor` takes the arguments of `keras.applications`.
        weights: Passed to the constructor; None draws initial values.

    Raises:
        ConfigError: the constructor refuses its arguments, or the feature dimension is not the declared one.
    """
    size = config.input_size_pixels
    constructor = imported(config.constructor)
    try:
        model = constructor(
            weights=weights, include_top=False, pooling="avg", input_shape=(size, size, 3), **config.arguments
        )
    except (TypeError, ValueError) as error:
        if weights is not None:  # whoever gives weights knows what it means that they do not fit
            raise
        raise ConfigError(
            f"conf/backbone/{config.name}.yaml: expected what {config.constructor} takes, found that it refused: "
            f"{str(error).splitlines()[0]}; correct input_size_pixels or arguments"
        ) from error
    if not config.has_own_width:
        model = keras.models.clone_model(model, clone_function=lambda layer: _thinned_layer(layer, config.width or 1.0))
    if model.output_shape != (None, config.feature_dim):
        raise ConfigError(
            f"conf/backbone/{config.name}.yaml: expected feature_dim {model.output_shape[-1]}, "
            f"found {config.feature_dim}; correct it"
        )
    return model


def preprocess(config: BackboneConfig, images: Any) -> Any:
    """Scale RGB images in [0, 255], shape `(batch, height, width, 3)`, as the backbone's family asks."""
    return imported(config.preprocessor)(images.astype("float32"))


class Call(TypedDict):
    """What every constructor is called with: weights None, include_top False, pooling `avg`, `(height, width, 3)`."""

    weights: str | None
    include_top: bool
    pooling: str | None
    input_shape: tuple[int, int, int]


def pooled_backbone(
    features: Callable[[keras.KerasTensor], keras.KerasTensor], name: str, **call: Unpack[Call]
) -> keras.Model:
    """Build a backbone from its layers: `(batch, height, width, 3)` to the mean of its last feature map.

    Args:
        features: Applies the layers to preprocessed images; its output has shape `(batch, height, width, feature_dim)`.
        name: The model's.
        call: With other weights, a classifier or another pooling it is refused.

    Raises:
        ConfigError: the call asks for a classifier, another pooling, or weights.
    """
    weights, include_top, pooling = call["weights"], call["include_top"], call["pooling"]
    if weights is not None or include_top or pooling != "avg":
        raise ConfigError(
            f"{name}: expected weights None, include_top False and pooling 'avg', found {weights!r}, {include_top} "
            f"and {pooling!r}; build it so, and load its published weights afterwards (layout timm)"
        )
    images = keras.Input(call["input_shape"])
    pooled = keras.layers.GlobalAveragePooling2D(name="avg_pool")(features(images))
    return keras.Model(images, pooled, name=name)
