"""The same features, and whole cells, on the other backends of Keras, in processes that never import TensorFlow."""

import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from backbench.artifacts import Cell, file_sha256
from backbench.backbone_config import BackboneConfig, WeightsConfig
from backbench.backbones.graph import build_graph, preprocess
from backbench.backbones.weights import save_weights
from backbench.records import read_cell
from backbench.stages.embed import embed
from backbench.stages.sweep import sweep
from backbench.stages.train import train
from tests.conftest import PROJECT, backbone_config
from tests.pipelines.conftest import prepared, workplace  # noqa: F401 - fixtures
from tests.pipelines.test_cell import cell_config_for
from tests.test_strategies import BACKBONE

BACKENDS = [
    "jax",
    pytest.param(
        "torch",
        marks=pytest.mark.skipif(
            importlib.util.find_spec("torch") is None,
            reason="PyTorch is not in requirements.lock, for its default build takes gigabytes of CUDA",
        ),
    ),
]
SPREAD = ["mobilenet_v3_small", "deit_tiny", "resnext50_32x4d"]
# The smaller ones: each is traced and compiled once more per backend.
SMALLEST = sorted(
    path.stem
    for path in (PROJECT / "conf/backbone").glob("*.yaml")
    if (backbone_config(path.stem).num_parameters or 0) < 30e6 and backbone_config(path.stem).width == 1.0
)
# Keras 3.15 says so itself: "not available with the torch backend at this time due to an outstanding bug".
REFUSED = {"torch": {"nasnet_mobile"}}
LARGEST_RELATIVE_ERROR = 1e-3

Recorder = Callable[[str, object], None]


def built_small(name: str) -> tuple[BackboneConfig, keras.Model]:
    config = backbone_config(name)
    small = replace(config, input_size_pixels=config.min_size_pixels)
    keras.utils.set_random_seed(0)
    return small, build_graph(small)


def run_on(backend: str, *arguments: str, folder: Path) -> dict[str, Any]:
    path = os.pathsep.join([str(PROJECT), str(PROJECT / "src"), *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = {**os.environ, "KERAS_BACKEND": backend, "PYTHONPATH": path}
    command = [sys.executable, "-W", "ignore", "-m", "tests.backend_process", *arguments]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    return dict(json.loads(done.stdout.splitlines()[-1]))


def check_features(names: list[str], backend: str, folder: Path, record_property: Recorder) -> None:
    expected = {}
    for name in (name for name in names if name not in REFUSED.get(backend, ())):
        config, model = built_small(name)
        size = config.input_size_pixels
        images = np.random.default_rng(0).integers(0, 256, (2, size, size, 3), dtype="uint8")
        np.save(folder / f"images-{size}.npy", images)
        save_weights(model, folder / f"{name}.weights.h5")
        expected[name] = np.asarray(model.predict_on_batch(preprocess(config, images)))
        keras.utils.clear_session()
    run_on(backend, "features", str(folder), folder=folder)
    for name, values in expected.items():
        error = np.abs(np.load(folder / f"{name}.npy") - values).max() / np.abs(values).max()
        record_property(f"{name} on {backend}", float(error))
        assert error <= LARGEST_RELATIVE_ERROR, (name, error)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("backend", BACKENDS)
def test_features_are_those_of_tensorflow(backend: str, tmp_path: Path, record_property: Recorder) -> None:
    check_features(SPREAD, backend, tmp_path, record_property)


@pytest.mark.every_backbone
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("backend", BACKENDS)
def test_features_of_every_smaller_backbone_are_those_of_tensorflow(
    backend: str, tmp_path: Path, record_property: Recorder
) -> None:
    check_features(SMALLEST, backend, tmp_path, record_property)


def run_cell(strategy: str, weights: Path, sha256: str) -> dict[str, Any]:
    """Run the three stages; return what can be compared between backends."""
    config = replace(
        cell_config_for(strategy, seeds=[0, 1]),
        weights=WeightsConfig(name="file", path=str(weights), sha256={"tiny": sha256}),
    )
    for stage in (embed, sweep, train):
        stage(config)
    record = read_cell(Cell("tiny", strategy))
    return {"num_trials": len(record.trials), "test_accuracy": record.metrics.mean["test_accuracy"]}


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("strategy", ["feature_extraction", "fine_tuning"])
def test_a_whole_cell_runs_without_tensorflow(backend: str, strategy: str, workplace: Path) -> None:  # noqa: F811
    weights = workplace / "tiny.weights.h5"
    save_weights(build_graph(BACKBONE), weights)
    sha256 = file_sha256(weights)
    found = run_on(backend, "cell", strategy, str(weights), sha256, folder=workplace)
    assert found["num_trials"] == 3
    assert found["test_accuracy"] > 0.4
    cell = Cell("tiny", strategy)
    there = {path: np.load(path) for path in cell.activations.rglob("*.npy")}
    run_cell(strategy, weights, sha256)
    assert there
    for path, values in there.items():
        np.testing.assert_allclose(values.astype("float32"), np.load(path).astype("float32"), rtol=1e-2, atol=1e-3)
