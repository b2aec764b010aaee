"""Fetch and verify the weights that conf/benchmark.yaml names: `make weights`, or `python pipelines/weights.py`."""

from pathlib import Path

import checkout  # noqa: F401
from omegaconf import DictConfig

from backbench.cli.entry import run_stage
from backbench.config.config import BenchmarkConfig, to_typed
from backbench.runtime.installation import CONF
from backbench.stages.weights import fetch_weights


def stage(composed: DictConfig) -> str:
    return fetch_weights(to_typed(composed.benchmark, BenchmarkConfig, where="conf/benchmark.yaml"), Path(CONF))


if __name__ == "__main__":
    run_stage(stage, lock_name=lambda composed: "weights")
