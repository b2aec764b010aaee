"""KerasHub's classes, by the names and attributes that they are known by; test_hub.py computes with each."""

import importlib
import inspect
import pkgutil

import keras_hub
import numpy as np

from backbench.compat.networks import kerashub_blocks
from backbench.compat.networks.kerashub_blocks import unrolled

MODELS = "keras_hub.src.models"
FAMILIES = ("vit", "deit", "dinov2", "dinov3", "siglip", "swin_transformer", "mobilenetv5")


def class_names() -> set[str]:
    folders = [importlib.import_module(f"{MODELS}.{family}") for family in FAMILIES]
    modules = (
        importlib.import_module(f"{folder.__name__}.{module.name}")
        for folder in folders
        for module in pkgutil.iter_modules(folder.__path__)
        if not module.name.endswith("_test")
    )
    return {name for module in modules for name, _ in inspect.getmembers(module, inspect.isclass)}


def test_every_class_that_is_known_by_its_name_is_there() -> None:
    assert {*kerashub_blocks._UNROLLED, *kerashub_blocks._NAMELESS} <= class_names()


def test_the_blocks_of_an_encoder_become_layers_of_the_graph_and_compute_the_same() -> None:
    model = keras_hub.models.ViTBackbone(
        image_shape=(32, 32, 3), patch_size=16, num_layers=2, num_heads=1, hidden_dim=4, mlp_dim=4
    )
    graph = unrolled(model)
    assert "transformer_block_1" in [layer.name for layer in graph.layers]
    images = np.random.default_rng(0).normal(size=(2, 32, 32, 3)).astype("float32")
    np.testing.assert_allclose(np.asarray(graph(images)), np.asarray(model(images)), rtol=1e-6)
