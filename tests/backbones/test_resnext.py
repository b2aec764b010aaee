import keras
import pytest

from backbench.backbones.graph import build_graph
from backbench.backbones.resnext import resnext
from backbench.runtime.errors import ConfigError
from tests.support.configs import backbone_config
from tests.support.timm_backbones import TimmBackboneContract

NAMES = ["resnext50_32x4d", pytest.param("resnext101_32x8d", marks=pytest.mark.every_backbone)]


class TestResNeXt(TimmBackboneContract):
    @pytest.fixture(scope="class", params=NAMES)
    @classmethod
    def backbone(cls, request: pytest.FixtureRequest) -> str:
        return request.param

    @pytest.fixture(scope="class")
    @classmethod
    def model(cls, backbone: str) -> str:
        return backbone


def small(**changes: object) -> keras.Model:
    arguments: dict[str, object] = {
        "depths": [1, 2],
        "groups": 2,
        "width_per_group": 4,
        "weights": None,
        "include_top": False,
        "pooling": "avg",
        "input_shape": (32, 32, 3),
    }
    return resnext(**{**arguments, **changes})


def test_layers_are_named_as_those_of_resnet() -> None:
    resnet = keras.applications.ResNet50(weights=None, include_top=False, pooling="avg", input_shape=(32, 32, 3))
    own = build_graph(backbone_config("resnext50_32x4d", input_size_pixels=32))
    names, expected = ({layer.name for layer in graph.layers[1:]} for graph in (own, resnet))
    assert {name for name in names if not name.endswith("_2_pad")} == expected


def test_paths_double_their_channels_with_every_stage() -> None:
    graph = small()
    assert graph.get_layer("conv2_block1_2_conv").kernel.shape == (3, 3, 4, 8)
    assert graph.get_layer("conv3_block2_2_conv").kernel.shape == (3, 3, 8, 16)
    assert graph.output_shape == (None, 512)


def test_a_slim_twin_keeps_its_paths() -> None:
    slim = build_graph(backbone_config("resnext50_32x4d", width=0.25, feature_dim=512, input_size_pixels=32))
    assert slim.get_layer("conv2_block1_2_conv").kernel.shape == (3, 3, 1, 32)


@pytest.mark.parametrize("changes", [{"weights": "imagenet"}, {"include_top": True}, {"pooling": "max"}])
def test_what_it_cannot_do_is_refused(changes: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match="expected weights None, include_top False and pooling 'avg', found"):
        small(**changes)
