"""Each of KerasHub's image backbones, small: the graph computes what KerasHub's own does, and loads its files."""

import warnings
from pathlib import Path
from typing import Any

import keras
import keras_hub
import numpy as np
import pytest

from backbench.backbones.cut_points import cut_points
from backbench.backbones.hub import image_backbone
from backbench.runtime.errors import ConfigError

Built = dict[str, Any]
DINO: Built = {"num_layers": 2, "num_heads": 3, "hidden_dim": 24, "intermediate_dim": 48}
TOWER: Built = {"patch_size": 16, **DINO}
VIT: Built = {"patch_size": 16, "num_layers": 2, "num_heads": 3, "hidden_dim": 24, "mlp_dim": 48}
RESNET: Built = {
    "input_conv_filters": [64],
    "input_conv_kernel_sizes": [7],
    "stackwise_num_filters": [64, 128],
    "stackwise_num_blocks": [1, 1],
    "stackwise_num_strides": [1, 2],
    "block_type": "basic_block",
}
# Model, pooling, side of an image, arguments, and a place within it where it can be cut.
MODELS = {
    "vit": ("ViTBackbone", "class_token", 32, VIT, "transformer_block_1"),
    "deit": ("DeiTBackbone", "class_token", 32, TOWER, "transformer_block_1"),
    "dinov2": ("DINOV2Backbone", "class_token", 28, {**DINO, "patch_size": 14}, "layers_0"),
    "dinov2 with registers": (
        "DINOV2Backbone",
        "class_token",
        28,
        {**DINO, "patch_size": 14, "num_register_tokens": 4},
        "layers_0",
    ),
    "dinov3": ("DINOV3Backbone", "class_token", 32, TOWER, "layers_0"),
    "clip": ("CLIPVisionEncoder", "class_token", 32, TOWER, "encoder_block_0"),
    "siglip": ("SigLIPVisionEncoder", "none", 32, TOWER, "encoder_block_0"),
    "swin": (
        "SwinTransformerBackbone",
        "mean_token",
        56,
        {"embed_dim": 12, "depths": [2, 2], "num_heads": [1, 2], "window_size": 7},
        "stage_0_downsample",
    ),
    "resnet": ("ResNetBackbone", "none", 32, RESNET, "stack0_block0_out"),
}
POOL = {
    "class_token": lambda outputs: outputs[:, 0],
    "mean_token": lambda outputs: outputs.mean(axis=1),
    "none": lambda outputs: outputs.mean(axis=(1, 2)) if outputs.ndim == 4 else outputs,
}


def ours(name: str, *, weights: Path | None = None, **more: Any) -> keras.Model:
    model, pooled, size, arguments, _ = MODELS[name]
    return image_backbone(
        model=model,
        pooled=pooled,  # type: ignore[arg-type]
        weights=None if weights is None else str(weights),
        include_top=False,
        pooling="avg",
        input_shape=(size, size, 3),
        **{**arguments, **more},
    )


def theirs(name: str) -> keras.Model:
    """KerasHub's own, with values of which none is neutral."""
    model, _, size, arguments, _ = MODELS[name]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # Swin's stages are traced before their sizes are known
        backbone = getattr(keras_hub.models, model)(image_shape=(size, size, 3), **arguments)
    random = np.random.default_rng(0)
    for variable in backbone.weights:
        if variable.dtype == "float32":
            values = 0.1 * random.normal(size=variable.shape)
            is_scale = variable.name in ("gamma", "lambda1") or "variance" in variable.name
            variable.assign(np.abs(1 + values) if is_scale else values)
    return backbone


def called(model: keras.Model, images: np.ndarray) -> np.ndarray:
    with warnings.catch_warnings():
        # Keras warns that a model with a dictionary of one input was given a tensor.
        warnings.simplefilter("ignore", UserWarning)
        return np.asarray(model(images))


@pytest.mark.parametrize("name", MODELS)
def test_the_graph_computes_what_kerashub_computes_and_can_be_cut_in_between(name: str, tmp_path: Path) -> None:
    _, pooled, size, _, place = MODELS[name]
    reference = theirs(name)
    reference.save_weights(tmp_path / "model.weights.h5")
    reference.load_weights(tmp_path / "model.weights.h5")  # DINOv2 interpolates its positions when it loads
    graph = ours(name, weights=tmp_path / "model.weights.h5")
    images = np.random.default_rng(1).normal(size=(2, size, size, 3)).astype("float32")
    expected = POOL[pooled](called(reference, images))
    np.testing.assert_allclose(np.asarray(graph(images)), expected, rtol=1e-5, atol=1e-5 * np.abs(expected).max())
    assert np.abs(expected[0] - expected[1]).max() > 1e-3 * np.abs(expected).max()
    assert graph.count_params() == reference.count_params()
    assert place in [point.name for point in cut_points(graph)]


def test_the_vision_tower_is_taken_out_of_the_whole_file(tmp_path: Path) -> None:
    vision = theirs("clip")
    text = keras_hub.models.CLIPTextEncoder(
        vocabulary_size=10, embedding_dim=8, hidden_dim=8, num_layers=1, num_heads=2, intermediate_dim=8
    )
    whole = keras_hub.models.CLIPBackbone(vision_encoder=vision, text_encoder=text, projection_dim=4)
    whole.save_weights(tmp_path / "whole.weights.h5")
    graph = ours("clip", weights=tmp_path / "whole.weights.h5", weights_within="layers/clip_vision_encoder")
    images = np.random.default_rng(1).normal(size=(2, 32, 32, 3)).astype("float32")
    np.testing.assert_allclose(np.asarray(graph(images)), called(vision, images)[:, 0], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": "NoBackbone"}, "expected a class of keras_hub.models, found 'NoBackbone'; correct `model`"),
        (
            {"patch_size": 15},
            r"keras_hub.models.ViTBackbone: expected arguments that it takes, found .*'patch_size': 15",
        ),
        ({"depth": 3}, "ViTBackbone: expected arguments that it takes, found .*'depth': 3"),
    ],
)
def test_impossible_arguments_are_one_line(changes: Built, message: str) -> None:
    model, pooled, size, arguments, _ = MODELS["vit"]
    call = {"model": model, "pooled": pooled, "input_shape": (size, size, 3), **arguments, **changes}
    with pytest.raises(ConfigError, match=message) as caught:
        image_backbone(weights=None, include_top=False, pooling="avg", **call)  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)
