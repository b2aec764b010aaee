from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import pytest
from safetensors.numpy import save_file

from backbench.backbones.efficientnet_lite import efficientnet_lite
from backbench.backbones.resnext import resnext
from backbench.backbones.timm_weights import load_timm, set_timm_weights, timm_places
from backbench.backbones.weights import weights_digest
from backbench.runtime.errors import WeightsError
from tests.golden.drawn import drawn_arrays
from tests.support.tiny import TinyNet

Arrays = dict[str, np.ndarray]
CALL = {"weights": None, "include_top": False, "pooling": "avg", "input_shape": (32, 32, 3)}


def small_resnext() -> keras.Model:
    return resnext(depths=[1, 1], groups=2, width_per_group=4, **CALL)


def small_lite() -> keras.Model:
    return efficientnet_lite(width_coefficient=0.1, depth_coefficient=0.1, **CALL)


def drawn_for(model: keras.Model) -> Arrays:
    """A whole state dictionary of timm's: what the backbone holds, its classifier, and counters of batches."""
    shapes = {name: place.timm_shape for name, place in timm_places(model).items()}
    counters = {name.replace("running_var", "num_batches_tracked"): () for name in shapes if "running_var" in name}
    return drawn_arrays({**shapes, **counters, "fc.weight": (10, 8), "classifier.bias": (10,)})


@pytest.mark.parametrize("build", [small_resnext, small_lite])
def test_a_file_gives_the_weights_that_it_holds(build: Callable[[], keras.Model], tmp_path: Path) -> None:
    arrays = drawn_for(build())
    save_file(arrays, tmp_path / "model.safetensors")
    from_file, from_memory = build(), build()
    load_timm(from_file, tmp_path / "model.safetensors")
    set_timm_weights(from_memory, arrays, source="memory")
    assert weights_digest(from_file) == weights_digest(from_memory) != weights_digest(build())


def test_axes_are_turned() -> None:
    model = small_lite()
    arrays = drawn_for(model)
    set_timm_weights(model, arrays, source="memory")
    stem, depthwise = np.asarray(model.get_layer("stem_conv").kernel), model.get_layer("block1a_dwconv").kernel
    assert stem[0, 1, 2, 3] == arrays["conv_stem.weight"][3, 2, 0, 1]
    assert np.asarray(depthwise)[0, 1, 2, 0] == arrays["blocks.0.0.conv_dw.weight"][2, 0, 0, 1]
    assert model.get_layer("top_bn").moving_variance[5] == arrays["bn2.running_var"][5]


def without(name: str, arrays: Arrays) -> Arrays:
    return {other: value for other, value in arrays.items() if other != name}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda arrays: without("layer2.0.bn3.bias", arrays),
            "^memory: expected every array of resnext8_2x4d, found none called layer2.0.bn3.bias; use the file that",
        ),
        (
            lambda arrays: {name: value for name, value in arrays.items() if "layer1" not in name},
            r"found none called layer1.0.bn1.bias and \d+ more; use",
        ),
        (
            lambda arrays: {**arrays, "layer1.0.se.fc1.weight": arrays["bn1.bias"]},
            "^memory: expected only arrays of resnext8_2x4d, found also layer1.0.se.fc1.weight; use the file that",
        ),
        (
            lambda arrays: {**arrays, "layer1.0.conv2.weight": arrays["layer1.0.conv2.weight"].transpose(1, 0, 2, 3)},
            r"^memory: expected layer1.0.conv2.weight of shape \(8, 4, 3, 3\) for resnext8_2x4d, found \(4, 8, 3, 3\);",
        ),
    ],
    ids=["missing", "several missing", "left over", "wrong shape"],
)
def test_arrays_that_do_not_fit_are_refused_and_change_nothing(
    change: Callable[[Arrays], Arrays], message: str
) -> None:
    model = small_resnext()
    before = weights_digest(model)
    with pytest.raises(WeightsError, match=message):
        set_timm_weights(model, change(drawn_for(model)), source="memory")
    assert weights_digest(model) == before


@pytest.mark.parametrize("content", [None, b"", b"not weights", b"\x80\x02}q\x00."])
def test_a_file_that_is_none_of_safetensors_is_refused(content: bytes | None, tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(WeightsError, match=f"^{path}: expected a whole safetensors file, found none"):
        load_timm(small_resnext(), path)


def test_a_graph_that_timm_has_no_names_for_is_refused() -> None:
    with pytest.raises(WeightsError, match="expected a layer of resnext or efficientnet_lite, found 'stem'; only"):
        timm_places(TinyNet(**CALL))


def test_a_bias_that_timm_lacks_is_missing() -> None:
    """keras.applications names its layers alike, but its convolutions have a bias."""
    images = keras.Input((8, 8, 3))
    model = keras.Model(images, keras.layers.Conv2D(4, 7, name="conv1_conv")(images))
    with pytest.raises(WeightsError, match="found none called conv1.bias; use"):
        set_timm_weights(model, {"conv1.weight": np.zeros((4, 3, 7, 7), "float32")}, source="memory")
