"""The names of efficientnet_pytorch, and timm's for the same arrays."""

from pathlib import Path

import numpy as np
import pytest

from backbench.backbones.efficientnet_pytorch import blocks_of_stages, load_efficientnet_pytorch, with_timm_names
from backbench.backbones.graph import build_graph
from backbench.runtime.errors import WeightsError
from tests.support.configs import backbone_config
from tests.support.legacy_pytorch import legacy_bytes

LITE0 = (1, 2, 2, 3, 3, 4, 1)
NAMES = {
    "_conv_stem.weight": "conv_stem.weight",
    "_bn0.running_var": "bn1.running_var",
    "_blocks.0._depthwise_conv.weight": "blocks.0.0.conv_dw.weight",
    "_blocks.0._bn1.weight": "blocks.0.0.bn1.weight",
    "_blocks.0._project_conv.weight": "blocks.0.0.conv_pw.weight",
    "_blocks.0._bn2.bias": "blocks.0.0.bn2.bias",
    "_blocks.1._expand_conv.weight": "blocks.1.0.conv_pw.weight",
    "_blocks.2._bn0.running_mean": "blocks.1.1.bn1.running_mean",
    "_blocks.7._depthwise_conv.weight": "blocks.3.2.conv_dw.weight",
    "_blocks.10._bn1.num_batches_tracked": "blocks.4.2.bn2.num_batches_tracked",
    "_blocks.14._project_conv.weight": "blocks.5.3.conv_pwl.weight",
    "_blocks.15._bn2.weight": "blocks.6.0.bn3.weight",
    "_conv_head.weight": "conv_head.weight",
    "_bn1.bias": "bn2.bias",
    "_fc.weight": "classifier.weight",
}


def test_arrays_get_the_names_that_timm_gives_them() -> None:
    arrays = {name: np.full(1, number) for number, name in enumerate(NAMES)}
    assert with_timm_names(arrays, LITE0) == {NAMES[name]: array for name, array in arrays.items()}


@pytest.mark.parametrize(
    "name", ["_blocks.16._bn2.weight", "_blocks.0._expand_conv.weight", "_blocks.1._se.weight", "x"]
)
def test_a_name_of_another_network_stays_as_it_is(name: str) -> None:
    assert list(with_timm_names({name: np.zeros(1)}, LITE0)) == [name]


@pytest.mark.parametrize(
    ("name", "blocks"), [("efficientnet_lite0", LITE0), ("efficientnet_lite2", (1, 3, 3, 4, 4, 5, 1))]
)
def test_the_blocks_of_a_graph_are_counted(name: str, blocks: tuple[int, ...]) -> None:
    assert tuple(blocks_of_stages(build_graph(backbone_config(name, input_size_pixels=32)))) == blocks


def test_a_file_of_another_network_is_refused(tmp_path: Path) -> None:
    model = build_graph(backbone_config("efficientnet_lite0", input_size_pixels=32))
    path = tmp_path / "weights.pth"
    path.write_bytes(legacy_bytes({"_conv_stem.weight": np.zeros((32, 3, 3, 3), "float32")}))
    with pytest.raises(WeightsError, match=rf"^{path}: expected every array of .*, found none called .* and \d+ more"):
        load_efficientnet_pytorch(model, path)
