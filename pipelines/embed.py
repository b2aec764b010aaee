"""The embed stage of one backbone, for all strategies: `python pipelines/embed.py backbone=resnet50_slim …`."""

import checkout  # noqa: F401
from omegaconf import DictConfig

from backbench.cli.entry import run_stage
from backbench.config.config import BenchmarkConfig, cell_config, to_typed
from backbench.config.config_files import read_strategies
from backbench.config.running_config import WorkersConfig
from backbench.stages.boundaries import require_boundaries
from backbench.stages.embed.embed import embed


def stage(composed: DictConfig) -> str:
    benchmark = to_typed(composed.benchmark, BenchmarkConfig, where="conf/benchmark.yaml")
    strategies = read_strategies(benchmark.strategies)
    configs = [cell_config(composed, strategy) for strategy in strategies]
    require_boundaries(strategies)
    return embed(configs, to_typed(composed.workers, WorkersConfig, where="conf/workers"))


if __name__ == "__main__":
    run_stage(
        stage, lock_name=lambda composed: f"embed-{composed.backbone.name}", chosen_by_benchmark=("workers", "weights")
    )
