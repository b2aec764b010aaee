"""Shipped configurations, with what a test changes of them."""

from pathlib import Path

from omegaconf import OmegaConf

from backbench.config.backbone_config import BackboneConfig
from backbench.config.backbone_files import read_backbone_yaml
from backbench.config.config import to_typed
from backbench.config.strategy_config import StrategyConfig

PROJECT = Path(__file__).parents[2]


def backbone_config(name: str, **changes: object) -> BackboneConfig:
    """The shipped configuration of a backbone, with changes."""
    node = OmegaConf.merge(read_backbone_yaml(PROJECT / f"conf/backbone/{name}.yaml"), changes)
    return to_typed(node, BackboneConfig, where=name)


def strategy_config(name: str, **changes: object) -> StrategyConfig:
    """The shipped configuration of a strategy, with changes."""
    node = OmegaConf.merge(OmegaConf.load(PROJECT / f"conf/strategy/{name}.yaml"), changes)
    return to_typed(node, StrategyConfig, where=name)
