"""Every cell's study in one file for optuna-dashboard: `make dashboard`, or `python pipelines/dashboard.py`."""

import checkout  # noqa: F401
from omegaconf import DictConfig

from backbench.cli.entry import run_stage
from backbench.comparison.leaderboard import cells_of
from backbench.config.config import BenchmarkConfig, to_typed
from backbench.stages.dashboard import dashboard


def stage(composed: DictConfig) -> str:
    benchmark = to_typed(composed.benchmark, BenchmarkConfig, where="conf/benchmark.yaml")
    return dashboard(cells_of(benchmark.backbones, benchmark.strategies))


if __name__ == "__main__":
    run_stage(stage, lock_name=lambda composed: "dashboard")
