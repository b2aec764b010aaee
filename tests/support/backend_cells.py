"""What is computed on every backend of Keras: features of the smaller backbones, and a tiny cell per strategy."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import keras

from backbench.backbones.graph import build_graph
from backbench.config.backbone_config import BackboneConfig, WeightsConfig
from backbench.config.config import CellConfig
from backbench.results.result_files import read_cell
from backbench.runtime.digests import file_sha256
from backbench.runtime.paths import Cell
from backbench.stages.embed.embed import embed
from backbench.stages.sweep.sweep import sweep
from backbench.stages.train.train import train
from tests.support.configs import PROJECT, backbone_config
from tests.support.tiny_cell import STRATEGIES, cell_config_for

WEIGHTS = "tiny.weights.h5"
# The smaller ones: each is traced and compiled once more per backend.
SMALLEST = sorted(
    path.stem
    for path in (PROJECT / "conf/backbone").glob("*.yaml")
    if (backbone_config(path.stem).num_parameters or 0) < 30e6 and backbone_config(path.stem).has_own_width
)
NUM_THREADS = 3


def built_small(name: str) -> tuple[BackboneConfig, keras.Model]:
    config = backbone_config(name)
    small = replace(config, input_size_pixels=config.min_size_pixels)
    keras.utils.set_random_seed(0)
    return small, build_graph(small)


def cell_from_file(strategy: str) -> CellConfig:
    weights = WeightsConfig(seed=0, name="file", path=WEIGHTS, sha256={"tiny": file_sha256(Path(WEIGHTS))})
    return replace(cell_config_for(strategy, seeds=[0, 1]), weights=weights)


def run_cells() -> dict[str, Any]:
    """Run the stages of all strategies in the working folder; return what can be compared between backends."""
    configs = {strategy: cell_from_file(strategy) for strategy in STRATEGIES}
    embed(list(configs.values()))
    found = {}
    for strategy, config in configs.items():
        sweep(config)
        train(config)
        record = read_cell(Cell("tiny", strategy))
        found[strategy] = {"num_trials": len(record.trials), "test_accuracy": record.metrics.mean["test_accuracy"]}
    return found
