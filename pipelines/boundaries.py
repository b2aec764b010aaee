"""The boundaries stage: `python pipelines/boundaries.py`."""

import checkout  # noqa: F401
from omegaconf import DictConfig

from backbench.cli.entry import run_stage
from backbench.config.config import BenchmarkConfig, to_typed
from backbench.config.config_files import read_strategies
from backbench.stages.boundaries import boundaries


def stage(composed: DictConfig) -> str:
    benchmark = to_typed(composed.benchmark, BenchmarkConfig, where="conf/benchmark.yaml")
    return boundaries(read_strategies(benchmark.strategies))


if __name__ == "__main__":
    run_stage(stage, lock_name=lambda composed: "boundaries")
