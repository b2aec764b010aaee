"""Whole cells of other architectures, from weight files that are made here in the layout of their publishers."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import keras
import keras_hub
import numpy as np
import pytest
from safetensors.numpy import save_file

from backbench.backbones.graph import build_graph
from backbench.backbones.timm_weights import timm_places
from backbench.config.backbone_config import BackboneConfig, PretrainedConfig, WeightsConfig
from backbench.runtime.digests import file_sha256
from tests.support.tiny_cell import cell_config_for, run_cell

HUB = "backbench.backbones.hub.image_backbone"
SCALING = "keras.applications.mobilenet_v2.preprocess_input"
TRANSFORMER: dict[str, Any] = {"num_layers": 2, "num_heads": 2, "hidden_dim": 16}
Write = Callable[[BackboneConfig, Path], None]


@dataclass(frozen=True)
class Architecture:
    """A small backbone, and what writes a file of it as its publisher would."""

    config: BackboneConfig
    file: str
    write: Write


def backbone(name: str, constructor: str, *, size: int, dim: int, boundary: str, **arguments: Any) -> BackboneConfig:
    return BackboneConfig(
        name=name,
        family=name,
        constructor=constructor,
        arguments=arguments,
        preprocessor=SCALING,
        input_size_pixels=size,
        min_size_pixels=size,
        feature_dim=dim,
        last_stage_boundary=boundary,
    )


def write_keras(config: BackboneConfig, path: Path) -> None:
    build_graph(config).save_weights(path)


def write_keras_hub(config: BackboneConfig, path: Path) -> None:
    """A preset's file is of KerasHub's own model, not of the graph that is made of it."""
    arguments = {name: value for name, value in config.arguments.items() if name not in ("model", "pooled")}
    size = config.input_size_pixels
    getattr(keras_hub.models, config.arguments["model"])(image_shape=(size, size, 3), **arguments).save_weights(path)


def write_timm(config: BackboneConfig, path: Path) -> None:
    random = np.random.default_rng(0)
    arrays = {}
    for name, place in timm_places(build_graph(config)).items():
        values = random.normal(size=place.timm_shape) / np.sqrt(max(1, np.prod(place.timm_shape[1:])))
        arrays[name] = (np.abs(values) + 0.5 if len(place.timm_shape) == 1 else values).astype("float32")
    save_file(arrays, path)


ARCHITECTURES = {
    "convolutional": Architecture(
        backbone("vgg16", "keras.applications.VGG16", size=32, dim=512, boundary="block4_pool"),
        "vgg16.weights.h5",
        write_keras,
    ),
    "convolutional, of timm": Architecture(
        backbone(
            "resnext",
            "backbench.backbones.resnext.resnext",
            size=32,
            dim=512,
            boundary="conv2_block1_out",
            depths=[1, 1],
            groups=2,
            width_per_group=4,
        ),
        "model.safetensors",
        write_timm,
    ),
    "vision transformer": Architecture(
        backbone(
            "vit",
            HUB,
            size=16,
            dim=16,
            boundary="transformer_block_1",
            model="ViTBackbone",
            pooled="class_token",
            patch_size=8,
            mlp_dim=32,
            **TRANSFORMER,
        ),
        "model.weights.h5",
        write_keras_hub,
    ),
    "self-supervised": Architecture(
        backbone(
            "dinov2",
            HUB,
            size=28,
            dim=16,
            boundary="layers_0",
            model="DINOV2Backbone",
            pooled="class_token",
            patch_size=14,
            intermediate_dim=32,
            **TRANSFORMER,
        ),
        "model.weights.h5",
        write_keras_hub,
    ),
    "foundation model": Architecture(
        backbone(
            "siglip",
            HUB,
            size=16,
            dim=16,
            boundary="encoder_block_0",
            model="SigLIPVisionEncoder",
            pooled="none",
            patch_size=8,
            intermediate_dim=32,
            **TRANSFORMER,
        ),
        "model.weights.h5",
        write_keras_hub,
    ),
}


@pytest.mark.parametrize("name", ARCHITECTURES)
@pytest.mark.parametrize("strategy", [pytest.param("feature_extraction", marks=pytest.mark.system), "fine_tuning"])
def test_a_cell_runs_from_a_published_file(name: str, strategy: str, workplace: Path) -> None:
    architecture = ARCHITECTURES[name]
    path = workplace / architecture.file
    keras.utils.set_random_seed(0)
    architecture.write(architecture.config, path)
    pretrained = PretrainedConfig(
        url=f"https://models.example.org/{architecture.file}",
        digest=f"sha256:{file_sha256(path)}",
        layout="timm" if path.suffix == ".safetensors" else None,
        licence="CC0-1.0",
        trained_on="nothing",
    )
    config = replace(
        cell_config_for(strategy, seeds=[0]),
        weights=WeightsConfig(seed=0, name="published", path=f"{workplace}/{{file}}"),
        backbone=replace(architecture.config, pretrained=pretrained),
    )
    record = run_cell(config)
    assert len(record.trials) == config.search.num_trials
    assert record.metrics.mean["test_accuracy"] > 0.4  # three classes
