import re
from dataclasses import replace

import numpy as np
import pytest
from omegaconf import OmegaConf

from backbench.backbones.graph import build_graph, imported, preprocess, scaled_filters
from backbench.config.backbone_config import BackboneConfig
from backbench.config.config import to_typed
from backbench.runtime.errors import ConfigError
from tests.support.configs import PROJECT, backbone_config
from tests.support.graphs import cut_point_names


@pytest.mark.parametrize(("filters", "scaled"), [(64, 16), (24, 8), (4, 8), (1280, 320), (100, 24)])
def test_filters_are_scaled_to_a_multiple_of_eight(filters: int, scaled: int) -> None:
    assert scaled_filters(filters, 0.25) == scaled


def test_a_slim_twin_has_the_layers_of_its_full_graph() -> None:
    slim = build_graph(backbone_config("mobilenet_v2_slim"))
    full = build_graph(backbone_config("mobilenet_v2", input_size_pixels=64))
    assert [type(layer) for layer in slim.layers] == [type(layer) for layer in full.layers]
    assert slim.get_layer("block_12_add").output.shape[-1] == full.get_layer("block_12_add").output.shape[-1] / 4


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"input_size_pixels": 16}, "input_size_pixels: expected at least min_size_pixels 32, found 16"),
        ({"feature_dim": 7}, "expected feature_dim 320, found 7"),
        ({"constructor": "keras.applications.NoSuchNet"}, "expected the dotted path of a function"),
    ],
)
def test_an_impossible_backbone_is_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        build_graph(backbone_config("mobilenet_v2_slim", **changes))


def test_each_family_has_its_own_preprocessing() -> None:
    images = np.random.default_rng(0).integers(0, 256, (2, 8, 8, 3), dtype="uint8")
    before = images.copy()
    outputs = [preprocess(backbone_config(name), images) for name in ("mobilenet_v2", "vgg16", "efficientnet_b0")]
    assert np.array_equal(images, before)
    assert outputs[0].min() >= -1
    assert outputs[0].max() <= 1
    np.testing.assert_allclose(outputs[1][..., 0], images[..., 2] - 103.939, atol=1e-4)
    np.testing.assert_array_equal(outputs[2], images.astype("float32"))


def test_a_dotted_path_that_names_nothing_is_refused() -> None:
    with pytest.raises(ConfigError, match="found 'nothing'"):
        imported("nothing")


def test_the_backbone_of_the_readme_needs_no_code() -> None:
    text = (PROJECT / "README.md").read_text(encoding="utf-8")
    example = re.search(r"```yaml\n(# conf/backbone/.*?)```", text, re.DOTALL)
    assert example is not None
    config = to_typed(OmegaConf.create(example.group(1)), BackboneConfig, where="README.md")
    assert not (PROJECT / f"conf/backbone/{config.name}.yaml").exists()
    model = build_graph(replace(config, input_size_pixels=config.min_size_pixels))
    assert config.last_stage_boundary in cut_point_names(model)
