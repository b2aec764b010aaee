"""The backbones stage: `python pipelines/backbones.py`."""

import checkout  # noqa: F401
from omegaconf import DictConfig

from backbench.cli.entry import run_stage
from backbench.config.catalog import read_weighted
from backbench.config.config import BenchmarkConfig, to_typed
from backbench.stages.backbones import backbones


def stage(composed: DictConfig) -> str:
    return backbones(read_weighted(to_typed(composed.benchmark, BenchmarkConfig, where="conf/benchmark.yaml")))


if __name__ == "__main__":
    run_stage(stage, lock_name=lambda composed: "backbones")
