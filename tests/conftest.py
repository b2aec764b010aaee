"""Fixtures that several test files share: tiny backbones, so that no test waits for a large graph."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")

from pathlib import Path

import pytest
from omegaconf import OmegaConf

from backbench.backbone_config import BackboneConfig
from backbench.config import StrategyConfig, to_typed

PROJECT = Path(__file__).parents[1]


@pytest.fixture(autouse=True)
def _no_tracking_server(monkeypatch: pytest.MonkeyPatch) -> None:
    """A developer's own MLflow server must not see the tests."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


def backbone_config(name: str, **changes: object) -> BackboneConfig:
    """The shipped configuration of a backbone, with changes."""
    node = OmegaConf.merge(OmegaConf.load(PROJECT / f"conf/backbone/{name}.yaml"), changes)
    return to_typed(node, BackboneConfig, where=name)


def strategy_config(name: str, **changes: object) -> StrategyConfig:
    """The shipped configuration of a strategy, with changes."""
    node = OmegaConf.merge(OmegaConf.load(PROJECT / f"conf/strategy/{name}.yaml"), changes)
    return to_typed(node, StrategyConfig, where=name)
