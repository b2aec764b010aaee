import time
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest

from backbench.artifacts import file_sha256
from backbench.backbones.graph import build_graph
from backbench.backbones.weights import load_backbone, save_weights, weights_digest
from backbench.config import BackboneConfig, FormulaWeights, WeightsConfig
from backbench.errors import WeightsError
from tests.conftest import PROJECT, backbone_config
from tests.tiny import CONSTRUCTOR, FEATURE_DIM, PREPROCESSOR

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
    return WeightsConfig(name="file", path=str(path).replace("tiny", "{backbone}"), sha256={"tiny": sha256})


def test_a_file_with_the_pinned_digest_is_loaded(saved: tuple[Path, keras.Model]) -> None:
    path, model = saved
    loaded = load_backbone(tiny_config(), from_file(path, file_sha256(path)))
    assert weights_digest(loaded) == weights_digest(model)


def test_another_digest_is_refused_and_both_are_named(saved: tuple[Path, keras.Model]) -> None:
    path, _ = saved
    with pytest.raises(WeightsError, match=f"expected SHA-256 {'0' * 64}, found {file_sha256(path)}"):
        load_backbone(tiny_config(), from_file(path, "0" * 64))


def test_weights_of_another_backbone_are_refused(saved: tuple[Path, keras.Model], tmp_path: Path) -> None:
    other = tmp_path / "tiny2.weights.h5"
    keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)]).save_weights(other)
    with pytest.raises(WeightsError, match="expected weights of tiny, found others"):
        load_backbone(tiny_config(), from_file(other, file_sha256(other)))


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (WeightsConfig(name="file", path="missing/{backbone}.h5", sha256={"tiny": "0"}), "expected a weight file at"),
        (WeightsConfig(name="file", path="x"), "expected `path` and `sha256.tiny` in conf/weights/file.yaml"),
        (WeightsConfig(name="formula"), "no formula weights are shipped for tiny"),
        (WeightsConfig(name="imagenet"), "expected a backbone of width 1.0 for weights=imagenet"),
    ],
)
def test_missing_weights_say_what_to_do(weights: WeightsConfig, message: str) -> None:
    with pytest.raises(WeightsError, match=message):
        load_backbone(tiny_config(width=0.5), weights)


def test_random_weights_honour_seed_zero() -> None:
    zero, again, one = (
        weights_digest(load_backbone(tiny_config(), WeightsConfig(name="random", seed=seed))) for seed in (0, 0, 1)
    )
    assert zero == again
    assert zero != one


def test_imagenet_offline_and_not_cached_says_which_file_to_put_where(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Keras's own loader runs; only the name of its host is replaced by one that cannot exist."""
    from keras.src.applications import mobilenet_v2

    monkeypatch.setattr(mobilenet_v2, "BASE_WEIGHT_PATH", "http://weights.invalid/")
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.setattr("keras.src.utils.file_utils.config.keras_home", lambda: str(tmp_path))
    started = time.monotonic()
    with pytest.raises(WeightsError, match=r"models/mobilenet_v2_weights\S+_no_top\.h5, found none that.*put it"):
        load_backbone(backbone_config("mobilenet_v2"), WeightsConfig(name="imagenet"))
    assert time.monotonic() - started < 60


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_weights_load_and_differ_from_random_ones(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(PROJECT)
    config = backbone_config(name)
    assert isinstance(config.formula, FormulaWeights)
    model = load_backbone(config, WeightsConfig(name="formula"))
    assert all(np.isfinite(value).all() for value in model.get_weights())
    assert weights_digest(model) != weights_digest(load_backbone(config, WeightsConfig(name="random")))


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
