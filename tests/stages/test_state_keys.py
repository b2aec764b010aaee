"""The keys of what is kept of a cell: what decides its content changes them, and nothing else does."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from backbench.config.backbone_config import WeightsConfig
from backbench.config.config import BenchmarkConfig, CellConfig
from backbench.config.running_config import TrackingConfig
from backbench.config.search_config import SearchConfig
from backbench.config.strategy_config import RangeConfig
from backbench.data.arrays.dataset import Dataset
from backbench.results import cell_inputs as cell
from backbench.results.cell_inputs import CellInputs
from backbench.results.records import fingerprint
from backbench.results.store_record import BoundaryRecord, StoreRecord
from backbench.runtime import source_code
from backbench.runtime.paths import Cell
from tests.support.configs import backbone_config, strategy_config
from tests.support.image_folders import config_for

BOUNDARY = BoundaryRecord("last_stage", "conv5", 1, 1, {"train": True}, 0.0)
STORE = StoreRecord(4, "weights", None, "images", {"conv5/train.npy": "a"}, (BOUNDARY,))
DATASET = Dataset(
    name="tiny",
    classes=("cat", "dog"),
    digest="images",
    sha256={"images-train.npy": "a"},
    image_size_pixels=16,
    depth_bits=None,
    sides=np.array([16, 16]),
    images={},
    labels={},
)
SEARCH = SearchConfig(
    name="few",
    sampler="quasi_random",
    num_trials=8,
    startup_trials=8,
    trials_per_batch=1,
    trials_per_round=1,
    pruner=None,
    seed=0,
)


def inputs(**changes: Any) -> CellInputs:
    """A cell; `dataset` and `store` are what earlier stages left, all else is its configuration."""
    given = {name: changes.pop(name) for name in ("dataset", "store") if name in changes}
    benchmark = BenchmarkConfig(
        dataset="tiny",
        weights="random",
        backbones=["resnet50_slim"],
        strategies=["any"],
        search="few",
        seeds=[0],
        threads=1,
        precision="float32",
        xla=False,
    )
    config = CellConfig(
        benchmark=benchmark,
        dataset=config_for(Path("data")),
        weights=WeightsConfig(name="random", seed=0),
        backbone=backbone_config("resnet50_slim"),
        strategy=strategy_config("fine_tuning"),
        search=SEARCH,
        tracking=TrackingConfig(uri="sqlite:///mlflow.db", experiment="tests"),
    )
    for name, change in changes.items():
        group = name.removesuffix("_config")
        config = replace(config, **{group: replace(getattr(config, group), **change)})
    return CellInputs(Cell("resnet50_slim", "any"), config, given.get("dataset", DATASET), given.get("store", STORE))


DECIDE_A_FIT: dict[str, dict[str, Any]] = {
    "pixels that were decoded otherwise": {"dataset": replace(DATASET, sha256={"images-train.npy": "b"})},
    "activations that were computed otherwise": {"store": replace(STORE, sha256={"conv5/train.npy": "b"})},
    "weights": {"store": replace(STORE, weights_digest="b")},
    "precision": {"benchmark": {"precision": "mixed_bfloat16"}},
    "threads": {"benchmark": {"threads": 2}},
    "xla": {"benchmark": {"xla": True}},
    "schedule": {"strategy": {"epochs": 7}},
    "head": {"strategy": {"linear_probe_warmup": None}},
    "seed": {"search": {"seed": 1}},
    "views": {"dataset_config": {"split_seed": 1}},
    "input size": {"backbone": {"input_size_pixels": 96}},
    "preprocessor": {"backbone": {"preprocessor": "backbench.backbones.hub.preprocess_input"}},
}
DECIDE_NO_FIT: dict[str, dict[str, Any]] = {
    "number of trials": {"search": {"num_trials": 16}},
    "sampler": {"search": {"name": "other", "sampler": "tpe", "startup_trials": 2, "trials_per_round": 2}},
    "ranges": {"strategy": {"learning_rate": RangeConfig(low=1e-9, high=1.0)}},
    "seeds": {"benchmark": {"seeds": [0, 1], "memory_growth": False, "backbones": ["resnet50_slim", "other"]}},
    "place of the images": {"dataset_config": {"path": "elsewhere", "min_size_pixels": 9}},
}


@pytest.mark.parametrize("what", DECIDE_A_FIT)
def test_what_decides_a_fit_names_its_folders(what: str) -> None:
    changed, here = inputs(**DECIDE_A_FIT[what]), inputs()
    assert changed.fits_name("sweep/cell_trials") != here.fits_name("sweep/cell_trials")
    assert changed.fits_name("train/final_models") != here.fits_name("train/final_models")


@pytest.mark.parametrize("module", ["sweep/cell_trials", "train/final_models"])
def test_the_fold_names_the_folders_of_its_fits(module: str) -> None:
    here = inputs()
    assert len({here.fits_name(module, fold) for fold in (None, 0, 1)}) == 3


@pytest.mark.parametrize("what", DECIDE_NO_FIT)
def test_what_only_proposes_or_says_where_does_not(what: str) -> None:
    changed, here = inputs(**DECIDE_NO_FIT[what]), inputs()
    assert changed.fits_name("sweep/cell_trials") == here.fits_name("sweep/cell_trials")
    assert changed.fits_name("train/final_models") == here.fits_name("train/final_models")


@pytest.mark.parametrize(
    ("place", "other"),
    [
        ("code_fingerprint", lambda *modules: "other code"),
        ("deciding_versions", lambda: {"keras": "0"}),
        ("machine_name", lambda: "another processor"),
        ("backend", lambda: "jax"),
    ],
)
def test_code_versions_backend_and_machine_decide_a_fit(
    monkeypatch: pytest.MonkeyPatch, place: str, other: Callable[..., Any]
) -> None:
    here = inputs().fits_name("sweep/cell_trials")
    monkeypatch.setattr(cell, place, other)
    assert inputs().fits_name("sweep/cell_trials") != here


def test_a_constructor_of_this_package_is_code_of_its_cells() -> None:
    named = backbone_config("resnext50_32x4d")
    module = source_code.PACKAGE / "stages/sweep/cell_trials.py"
    assert cell.code_of(module, named) != cell.code_of(module, backbone_config("resnet50_slim"))


@pytest.mark.parametrize("part", [np.zeros(3), np.float32(1), np.int64(1), Path("x"), DATASET, {"a": {1}}, b"a"])
def test_a_part_that_is_not_of_json_is_no_key(part: object) -> None:
    with pytest.raises(TypeError, match="not JSON serializable"):
        fingerprint("a", part)
