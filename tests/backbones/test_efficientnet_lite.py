import pytest

from backbench.backbones.efficientnet_lite import efficientnet_lite, scaled_filters
from backbench.backbones.graph import build_graph
from backbench.runtime.errors import ConfigError
from tests.support.configs import backbone_config
from tests.support.timm_backbones import TimmBackboneContract

LARGER = [pytest.param(f"efficientnet_lite{index}", marks=pytest.mark.every_backbone) for index in range(1, 5)]


class TestEfficientNetLite(TimmBackboneContract):
    @pytest.fixture(scope="class", params=["efficientnet_lite0", *LARGER])
    @classmethod
    def backbone(cls, request: pytest.FixtureRequest) -> str:
        return request.param

    @pytest.fixture(scope="class")
    @classmethod
    def model(cls, backbone: str) -> str:
        return f"tf_{backbone}"


@pytest.mark.parametrize(
    ("filters", "coefficient", "scaled"), [(16, 1.0, 16), (16, 1.1, 16), (16, 1.2, 24), (40, 1.1, 48), (192, 1.4, 272)]
)
def test_filters_lose_at_most_a_tenth_to_rounding(filters: int, coefficient: float, scaled: int) -> None:
    assert scaled_filters(filters, coefficient) == scaled


def test_a_slim_twin_has_the_layers_of_its_full_graph() -> None:
    slim, full = (
        build_graph(backbone_config("efficientnet_lite0", width=width, feature_dim=feature_dim, input_size_pixels=32))
        for width, feature_dim in ((0.25, 320), (1.0, 1280))
    )
    assert [layer.name for layer in slim.layers[1:]] == [layer.name for layer in full.layers[1:]]
    assert slim.get_layer("block6a_dwconv").output.shape[-1] < full.get_layer("block6a_dwconv").output.shape[-1]


@pytest.mark.parametrize("changes", [{"weights": "imagenet"}, {"include_top": True}, {"pooling": None}])
def test_what_it_cannot_do_is_refused(changes: dict[str, object]) -> None:
    call = {"weights": None, "include_top": False, "pooling": "avg", "input_shape": (32, 32, 3), **changes}
    with pytest.raises(ConfigError, match="expected weights None, include_top False and pooling 'avg', found"):
        efficientnet_lite(width_coefficient=1.0, depth_coefficient=1.0, **call)
