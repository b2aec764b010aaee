"""Image backbones of KerasHub, as graphs like those of keras.applications: one tensor in, pooled features out.

KerasHub is an optional dependency, imported when a backbone of it is built.
"""

import inspect
import warnings
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

import h5py
import keras
import numpy as np

from backbench.compat.networks.kerashub_blocks import numbered, unrolled
from backbench.runtime.errors import ConfigError

Pooled = Literal["class_token", "mean_token", "none"]
# What CLIP's images are scaled by, of values in [0, 1] (https://github.com/openai/CLIP, clip.py).
CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)


def image_backbone(
    *,
    model: str,
    pooled: Pooled,
    weights: str | None,
    include_top: bool,
    pooling: str,
    input_shape: tuple[int, int, int],
    weights_within: str | None = None,
    **arguments: Any,
) -> keras.Model:
    """Build one of KerasHub's image backbones without classifier.

    Args:
        model: A class of `keras_hub.models`, such as `ViTBackbone` or `CLIPVisionEncoder`.
        pooled: The features of a sequence of tokens: its first one, the mean of all, or `none` where the model pools
            by itself. Feature maps are averaged over their sides, as `pooling` says, whatever stands here.
        weights: A file that KerasHub wrote for this model (`model.weights.h5` of a preset), or None.
        include_top: Must be False.
        pooling: Must be `avg`.
        input_shape: `(size, size, 3)`.
        weights_within: The group of the file that holds this model, where it is a part of a larger one: the vision
            tower of CLIP.
        arguments: Of the class's constructor.

    Returns:
        Maps `(batch, size, size, 3)` to `(batch, feature_dim)`.

    Raises:
        ConfigError: KerasHub is not installed, has no such model, or refuses the arguments.
    """
    if include_top or pooling != "avg":
        raise ConfigError(f"expected include_top False and pooling avg, found {include_top} and {pooling}")
    built = _built(model, input_shape, arguments)
    if weights is not None:
        _load_weights(built, weights, weights_within)
    graph = unrolled(built)
    return keras.Model(graph.inputs[0], _features(graph.outputs[0], pooled), name=model.lower())


def unit_preprocess_input(images: Any) -> Any:
    """Scale RGB images in [0, 255] to [0, 1], as MobileNetV5 takes them."""
    return images / 255.0


def clip_preprocess_input(images: Any) -> Any:
    """Scale RGB images in [0, 255] as CLIP's vision towers take them."""
    return (images / 255.0 - np.asarray(CLIP_MEAN, "float32")) / np.asarray(CLIP_STD, "float32")


def _built(model: str, input_shape: tuple[int, int, int], arguments: dict[str, Any]) -> keras.Model:
    try:
        import keras_hub
    except ImportError as error:
        raise ConfigError(
            f"expected KerasHub for {model}, found none ({error}); install it: pip install 'backbench[hub]'"
        ) from error
    constructor = getattr(keras_hub.models, model, None)
    if constructor is None:
        raise ConfigError(f"expected a class of keras_hub.models, found {model!r}; correct `model` in `arguments`")
    try:
        # Keras's own constructors pass over arguments that they do not know.
        inspect.signature(constructor).bind(image_shape=input_shape, **arguments)
        unknown = arguments.keys() - inspect.signature(constructor).parameters.keys()
        if unknown:
            raise TypeError(f"{min(unknown)!r} is none of them")
        with warnings.catch_warnings():
            # Swin's stages are built twice over, for Keras traces them without their sizes first.
            warnings.simplefilter("ignore", UserWarning)
            return numbered(constructor(image_shape=input_shape, **arguments))
    except (TypeError, ValueError) as error:
        raise ConfigError(
            f"keras_hub.models.{model}: expected arguments that it takes, found {arguments} at {input_shape} "
            f"({str(error).splitlines()[0]}); correct `arguments`"
        ) from error


def _load_weights(model: keras.Model, path: str, within: str | None) -> None:
    if within is None:
        model.load_weights(path)
        return
    with TemporaryDirectory() as folder:
        part = Path(folder) / "part.weights.h5"
        with h5py.File(path) as whole, h5py.File(part, "w") as written:
            for name in whole[within]:
                whole.copy(f"{within}/{name}", written)
        model.load_weights(part)


def _features(output: keras.KerasTensor, pooled: Pooled) -> keras.KerasTensor:
    if len(output.shape) == 4:
        return keras.layers.GlobalAveragePooling2D(name="avg_pool")(output)
    if pooled == "class_token":
        return output[:, 0]
    return keras.layers.GlobalAveragePooling1D(name="mean_token")(output) if pooled == "mean_token" else output
