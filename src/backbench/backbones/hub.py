"""Image backbones of KerasHub, as graphs like those of keras.applications: one tensor in, pooled features out.

KerasHub hides a transformer's blocks in one encoder layer, where no freeze boundary can lie. So each encoder is
replaced by its blocks, the very same layers called one after another: same weights, same numbers, and a place to cut
after every block. KerasHub is an optional dependency, imported when a backbone of it is built.
"""

import inspect
import warnings
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

import h5py
import keras
import numpy as np

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
    graph = _unrolled(built)
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
            return _numbered(constructor(image_shape=input_shape, **arguments))
    except (TypeError, ValueError) as error:
        raise ConfigError(
            f"keras_hub.models.{model}: expected arguments that it takes, found {arguments} at {input_shape} "
            f"({str(error).splitlines()[0]}); correct `arguments`"
        ) from error


def _numbered(model: keras.Model) -> keras.Model:
    """Name MobileNetV5's blocks by their places; Keras numbers nameless layers by how many the process has built."""
    blocks = [layer for layer in model.layers if type(layer).__name__ in _NAMELESS]
    for place, block in enumerate(blocks):
        block.name = f"block_{place}"
    return model


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


def _unrolled(model: keras.Model) -> keras.Model:
    """Return the same graph with every encoder replaced by calls of its own layers."""

    def call(layer: keras.Operation, *args: Any, **kwargs: Any) -> Any:
        unroll: Callable[..., Any] = _UNROLLED.get(type(layer).__name__, _called)
        return unroll(layer, *args, **kwargs)

    with warnings.catch_warnings():
        # Keras warns that a graph of one input was built with a dictionary of one.
        warnings.simplefilter("ignore", UserWarning)
        return keras.models.clone_model(model, clone_function=lambda layer: layer, call_function=call)


def _called(layer: keras.Operation, *args: Any, **kwargs: Any) -> Any:
    return layer(*args, **kwargs)


def _vit_encoder(encoder: Any, tokens: Any) -> Any:
    tokens = encoder.dropout(tokens)
    for block in encoder.encoder_layers:
        tokens = block(tokens)
    return encoder.layer_norm(tokens)


class _Traced(keras.Layer):  # type: ignore[misc] # Keras carries no types
    """A built layer whose own word on its outputs is not to be taken: the first of them is, and has this shape.

    Without `shape`, of one example, Keras traces the layer to learn it.
    """

    def __init__(self, layer: keras.Layer, shape: tuple[int, ...] | None = None, **arguments: Any) -> None:
        super().__init__(name=layer.name)
        self.layer = layer
        self.shape = shape
        self.arguments = arguments

    def compute_output_spec(self, inputs: keras.KerasTensor) -> Any:
        if self.shape is None:
            return super().compute_output_spec(inputs)
        return keras.KerasTensor((inputs.shape[0], *self.shape), self.compute_dtype)

    def call(self, inputs: Any) -> Any:
        outputs = self.layer(inputs, **self.arguments)
        return outputs[0] if isinstance(outputs, tuple) else outputs


def _traced(layer: Any, inputs: Any) -> Any:
    return _Traced(layer)(inputs)


def _deit_encoder(encoder: Any, tokens: Any) -> Any:
    for block in encoder.encoder_layers:
        tokens = _Traced(block)(tokens)  # its second output, the attention scores, is None, which no graph takes
    return encoder.layer_norm(tokens), None, None


def _dino_encoder(encoder: Any, tokens: Any, **kwargs: Any) -> Any:
    for block in encoder.layers:
        tokens = block(tokens, **kwargs)
    return tokens, {}


def _rotary_positions(layer: Any, images: keras.KerasTensor) -> tuple[np.ndarray, np.ndarray]:
    """Return cosines and sines as constants: they are a function of the image's size alone.

    As tensors of the graph they would pass beside every block, and the graph could be cut nowhere.
    """
    cosines, sines = layer(np.zeros((1, *images.shape[1:]), "float32"))
    return np.asarray(cosines), np.asarray(sines)


def _swin_stage(stage: Any, tokens: Any) -> Any:
    """Cut into windows and put together again, tokens no longer have a number that Keras knows; here it does."""
    height, width = stage.input_resolution
    for block in stage.blocks:
        # Every stage numbers its blocks anew, and the names of a graph are unique.
        block.name = f"{stage.name}_{block.name}"
        # It is given a mask, of shifted windows, which is no mask of padding: Keras need not warn at every trace.
        block.attn.supports_masking = True
        tokens = _Traced(block, (height * width, stage.dim))(tokens)
    if stage.downsample is None:
        return tokens
    stage.downsample.name = f"{stage.name}_{stage.downsample.name}"
    return _Traced(stage.downsample, (height * width // 4, 2 * stage.dim), H=height, W=width)(tokens)


_UNROLLED: dict[str, Callable[..., Any]] = {
    "ViTEncoder": _vit_encoder,
    "DeiTEncoder": _deit_encoder,
    "DINOV2Encoder": _dino_encoder,
    "DINOV3Encoder": _dino_encoder,
    "DINOV3RopePositionEmbedding": _rotary_positions,
    "SigLIPVisionEmbedding": _traced,  # it counts a class token that it does not have
    "SwinTransformerStage": _swin_stage,
}


_NAMELESS = ("EdgeResidual", "UniversalInvertedResidual", "MobileAttention")


def _features(output: keras.KerasTensor, pooled: Pooled) -> keras.KerasTensor:
    if len(output.shape) == 4:
        return keras.layers.GlobalAveragePooling2D(name="avg_pool")(output)
    if pooled == "class_token":
        return output[:, 0]
    return keras.layers.GlobalAveragePooling1D(name="mean_token")(output) if pooled == "mean_token" else output
