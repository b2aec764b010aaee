"""KerasHub's transformers as graphs that can be cut after every block.

KerasHub hides a transformer's blocks in one encoder layer, where no freeze boundary can lie. So each encoder is
replaced by its blocks, the very same layers called one after another: same weights, same numbers, and a place to cut
after every block. Most of these classes have no public name, nor are their attributes promised: they are known here by
the names of both, so that KerasHub, an optional dependency, need not be imported.

Checked with KerasHub 0.32.0.
"""

import warnings
from collections.abc import Callable
from typing import Any

import keras
import numpy as np


def numbered(model: keras.Model) -> keras.Model:
    """Name MobileNetV5's blocks by their places; Keras numbers nameless layers by how many the process has built."""
    blocks = [layer for layer in model.layers if type(layer).__name__ in _NAMELESS]
    for place, block in enumerate(blocks):
        block.name = f"block_{place}"
    return model


def unrolled(model: keras.Model) -> keras.Model:
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
