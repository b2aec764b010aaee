"""The stage boundaries: what embed takes of strategies changes its file, and nothing else does."""

from dataclasses import fields, replace
from pathlib import Path

import pytest

from backbench.config.strategy_config import HeadConfig, RangeConfig, StrategyConfig
from backbench.runtime import paths
from backbench.runtime.errors import ArtifactError
from backbench.stages.boundaries import boundaries, require_boundaries
from tests.support.configs import strategy_config

FIRST, SECOND = strategy_config("feature_extraction"), strategy_config("fine_tuning")
TAKEN = {
    "boundary": "stage_2",
    "unfreeze": 0.5,
    "views": "on_the_fly",
    "activation_dtype": "float32",
    "activation_limit_gigabytes": 0.5,
}
NOT_TAKEN = {
    "head": HeadConfig(hidden_units=7, dropout=0.5),
    "linear_probe_warmup": None,
    "epochs": 99,
    "batch_size": 12,
    "accumulation_steps": 2,
    "warmup_fraction": 0.9,
    "early_stopping_patience": 1,
    "train_batch_norm": True,
    "learning_rate": RangeConfig(low=1e-3, high=1e-2),
    "weight_decay": RangeConfig(low=1e-3, high=1e-2),
}


@pytest.fixture(autouse=True)
def _empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def written(*strategies: StrategyConfig) -> str:
    boundaries(strategies)
    return paths.BOUNDARIES.read_text(encoding="utf-8")


def changed(key: str, value: object) -> StrategyConfig:
    return replace(SECOND, **({"boundary": None} if key == "unfreeze" else {}), **{key: value})


def test_every_key_of_a_strategy_is_taken_or_not() -> None:
    assert {key.name for key in fields(StrategyConfig)} == {"name", *TAKEN, *NOT_TAKEN}


@pytest.mark.parametrize("key", TAKEN)
def test_what_embed_takes_changes_the_file(key: str) -> None:
    assert written(FIRST, changed(key, TAKEN[key])) != written(FIRST, SECOND)
    with pytest.raises(ArtifactError, match="found something else; run `dvc repro boundaries`"):
        require_boundaries([FIRST, changed(key, TAKEN[key])])


@pytest.mark.parametrize("key", NOT_TAKEN)
def test_how_a_strategy_trains_changes_nothing(key: str) -> None:
    assert getattr(SECOND, key) != NOT_TAKEN[key]
    assert written(FIRST, changed(key, NOT_TAKEN[key])) == written(FIRST, SECOND)
    require_boundaries([FIRST, changed(key, NOT_TAKEN[key])])


def test_nor_does_the_order_of_strategies_but_one_more_does() -> None:
    assert written(SECOND, FIRST) == written(FIRST, SECOND) != written(FIRST)


def test_without_the_file_the_stage_to_run_is_named() -> None:
    with pytest.raises(ArtifactError, match=r"boundaries\.json, found nothing there; run `dvc repro boundaries` first"):
        require_boundaries([FIRST])
