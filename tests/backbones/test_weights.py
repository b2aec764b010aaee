import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np
import pytest
from keras.src.applications import efficientnet
from keras.src.legacy.saving import legacy_h5_format
from keras.src.utils import file_utils

from backbench.backbones.graph import build_graph
from backbench.backbones.weights import load_backbone, save_weights, unfilled_backbone, weights_digest
from backbench.config.backbone_config import BackboneConfig, PretrainedConfig, ShippedWeights, WeightsConfig
from backbench.runtime.digests import file_digest, file_sha256
from backbench.runtime.errors import WeightsError
from tests.support.configs import PROJECT, backbone_config
from tests.support.file_server import Answer, serving
from tests.support.tiny import CONSTRUCTOR, FEATURE_DIM, PREPROCESSOR, TinyNet

SHIPPED = sorted(path.stem for path in (PROJECT / "conf/backbone").glob("*_slim.yaml"))


def tiny_config(**changes: object) -> BackboneConfig:
    values: dict[str, object] = {
        "name": "tiny",
        "family": "tiny",
        "constructor": CONSTRUCTOR,
        "preprocessor": PREPROCESSOR,
        "input_size_pixels": 16,
        "min_size_pixels": 8,
        "feature_dim": FEATURE_DIM,
        "last_stage_boundary": "stage_out",
    }
    return BackboneConfig(**{**values, **changes})


@pytest.fixture
def saved(tmp_path: Path) -> tuple[Path, keras.Model]:
    keras.utils.set_random_seed(11)
    model = build_graph(tiny_config())
    path = tmp_path / "tiny.weights.h5"
    save_weights(model, path)
    return path, model


def test_equal_weights_are_equal_bytes(saved: tuple[Path, keras.Model], tmp_path: Path) -> None:
    path, model = saved
    twin = build_graph(tiny_config())
    twin.set_weights(model.get_weights())
    save_weights(twin, tmp_path / "twin.weights.h5")
    assert file_sha256(tmp_path / "twin.weights.h5") == file_sha256(path)


def from_file(path: Path, sha256: str) -> WeightsConfig:
    return WeightsConfig(seed=0, name="file", path=str(path).replace("tiny", "{backbone}"), sha256={"tiny": sha256})


def test_a_file_with_the_pinned_digest_is_loaded(saved: tuple[Path, keras.Model]) -> None:
    path, model = saved
    loaded = load_backbone(tiny_config(), from_file(path, file_sha256(path)))
    assert weights_digest(loaded) == weights_digest(model)


def test_another_digest_is_refused_and_both_are_named(saved: tuple[Path, keras.Model]) -> None:
    path, _ = saved
    with pytest.raises(WeightsError, match=f"expected SHA-256 {'0' * 64}, found SHA-256 {file_sha256(path)}"):
        load_backbone(tiny_config(), from_file(path, "0" * 64))


def test_weights_of_another_backbone_are_refused(saved: tuple[Path, keras.Model], tmp_path: Path) -> None:
    other = tmp_path / "tiny2.weights.h5"
    keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)]).save_weights(other)
    with pytest.raises(WeightsError, match="expected weights of tiny, found others"):
        load_backbone(tiny_config(), from_file(other, file_sha256(other)))


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (
            WeightsConfig(seed=0, name="file", path="missing/{backbone}.h5", sha256={"tiny": "0" * 64}),
            "expected a weight file at",
        ),
        (WeightsConfig(seed=0, name="formula"), "no formula weights are shipped for tiny"),
        (WeightsConfig(seed=0, name="published", path="x"), "nobody publishes weights of tiny"),
    ],
)
def test_missing_weights_say_what_to_do(weights: WeightsConfig, message: str) -> None:
    with pytest.raises(WeightsError, match=message):
        load_backbone(tiny_config(), weights)


def published(path: Path, layout: str | None = None) -> PretrainedConfig:
    """A file that lies where it is looked for; its address is never asked."""
    url, digest = f"http://weights.invalid/{path.name}", f"sha256:{file_sha256(path)}"
    return PretrainedConfig(url=url, digest=digest, layout=layout, licence="MIT", trained_on="nothing")


def in_folder_of(path: Path) -> WeightsConfig:
    return WeightsConfig(seed=0, name="published", path=f"{path.parent}/{{file}}")


def tiny_that_takes_weights(*, weights: str | None, **arguments: Any) -> keras.Model:
    """As the constructors of keras.applications do, it takes the path of a file."""
    model = TinyNet(weights=None, **arguments)
    if weights:
        model.load_weights(weights)
    return model


def test_published_weights_are_given_to_the_constructor(saved: tuple[Path, keras.Model]) -> None:
    path, model = saved
    config = tiny_config(pretrained=published(path), constructor=f"{__name__}.tiny_that_takes_weights")
    assert weights_digest(load_backbone(config, in_folder_of(path))) == weights_digest(model)


def test_a_file_of_the_layout_timm_is_read_as_one(saved: tuple[Path, keras.Model]) -> None:
    path, _ = saved
    with pytest.raises(WeightsError, match="expected a whole safetensors file, found none"):
        load_backbone(tiny_config(pretrained=published(path, "timm")), in_folder_of(path))


@pytest.fixture(scope="module")
def keras_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random weights of EfficientNetB0 in the layout of Keras's published files, under their name."""
    keras.utils.set_random_seed(3)
    model = keras.applications.EfficientNetB0(weights=None, include_top=False, pooling="avg", input_shape=(32, 32, 3))
    path = tmp_path_factory.mktemp("published") / "efficientnetb0_notop.h5"
    with h5py.File(path, "w") as file:
        legacy_h5_format.save_weights_to_hdf5_group(file, model)
    return path


def test_published_weights_of_keras_are_what_its_own_loader_makes_of_them(
    keras_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """EfficientNet's graph has a Rescaling more for weights="imagenet": without it the same weights would be wrong."""
    config = backbone_config("efficientnet_b0", input_size_pixels=32)
    loaded = load_backbone(replace(config, pretrained=published(keras_file)), in_folder_of(keras_file))
    monkeypatch.setattr("keras.src.utils.file_utils.config.keras_home", lambda: str(keras_file.parent / "keras"))
    monkeypatch.setitem(efficientnet.WEIGHTS_HASHES, "b0", ("", file_digest(keras_file, "md5")))
    with serving(Answer(content=keras_file.read_bytes())) as server:
        monkeypatch.setattr(efficientnet, "BASE_WEIGHTS_PATH", f"{server.url.removesuffix('weights.h5')}")
        theirs = keras.applications.EfficientNetB0(include_top=False, pooling="avg", input_shape=(32, 32, 3))
    images = np.random.default_rng(0).uniform(0, 255, (2, 32, 32, 3)).astype("float32")
    outputs = [np.asarray(model(images)) for model in (loaded, theirs)]
    assert weights_digest(loaded) == weights_digest(theirs)
    np.testing.assert_array_equal(outputs[0], outputs[1])
    graph = build_graph(config)
    graph.set_weights(loaded.get_weights())
    assert np.abs(np.asarray(graph(images)) - outputs[0]).max() > 1e-3 * np.abs(outputs[0]).max()


def test_the_graph_of_published_weights_is_built_without_their_file(keras_file: Path, tmp_path: Path) -> None:
    """The Rescaling that only weights="imagenet" brings must be there when exported weights are loaded again."""
    config = backbone_config("efficientnet_b0", input_size_pixels=32)
    file = Path(shutil.copy(keras_file, tmp_path))
    config = replace(config, pretrained=published(file))
    loaded = load_backbone(config, in_folder_of(file))
    file.unlink()
    graph = unfilled_backbone(config, weights_name="published")
    graph.set_weights(loaded.get_weights())
    images = np.random.default_rng(0).uniform(0, 255, (2, 32, 32, 3)).astype("float32")
    np.testing.assert_array_equal(np.asarray(graph(images)), np.asarray(loaded(images)))
    assert len(unfilled_backbone(config, weights_name="random").layers) == len(graph.layers) - 1


def test_a_published_file_of_another_network_is_refused_and_keras_fetches_as_before(keras_file: Path) -> None:
    fetching = file_utils.get_file
    config = backbone_config("mobilenet_v2", input_size_pixels=32)
    with pytest.raises(WeightsError, match=r"expected weights of mobilenet_v2, found others \(Layer count mismatch"):
        load_backbone(replace(config, pretrained=published(keras_file)), in_folder_of(keras_file))
    assert file_utils.get_file is fetching


def test_random_weights_honour_seed_zero() -> None:
    zero, again, one = (
        weights_digest(load_backbone(tiny_config(), WeightsConfig(name="random", seed=seed))) for seed in (0, 0, 1)
    )
    assert zero == again
    assert zero != one


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_weights_load_into_every_layer(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(PROJECT)
    config = backbone_config(name)
    assert isinstance(config.formula, ShippedWeights)
    model = load_backbone(config, WeightsConfig(seed=0, name="formula"))
    assert all(np.isfinite(value).all() for value in model.get_weights())
    vectors = [np.array(weight) for weight in model.trainable_weights if len(weight.shape) == 1]
    assert vectors
    # Before they are loaded, they are all zeros or all ones.
    assert all(np.ptp(vector) > 0 for vector in vectors)


def test_saved_kernels_are_half_and_vectors_whole(tmp_path: Path) -> None:
    keras.utils.set_random_seed(0)
    layers = [keras.Input((8, 8, 3)), keras.layers.Conv2D(4, 3), keras.layers.BatchNormalization()]
    model = keras.Sequential(layers)
    path = tmp_path / "half.weights.h5"
    save_weights(model, path, half=True)
    dtypes: dict[int, set[str]] = {}

    def visit(_: str, item: h5py.HLObject) -> None:
        if isinstance(item, h5py.Dataset):
            dtypes.setdefault(item.ndim, set()).add(str(item.dtype))

    with h5py.File(path) as file:
        file.visititems(visit)
    assert dtypes == {1: {"float32"}, 4: {"float16"}}
    expected = model.get_weights()
    model.load_weights(path)
    for before, after in zip(expected, model.get_weights(), strict=True):
        assert after.dtype == np.float32
        np.testing.assert_allclose(before, after, atol=1e-3)
