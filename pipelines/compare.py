"""The compare stage, on what every cell wrote: `python pipelines/compare.py`."""

from omegaconf import DictConfig

from backbench.config import BenchmarkConfig, TrackingConfig, to_typed
from backbench.entry import run_stage
from backbench.stages.compare import compare


def stage(composed: DictConfig) -> str:
    benchmark = to_typed(composed.benchmark, BenchmarkConfig, where="conf/benchmark.yaml")
    return compare(benchmark, to_typed(composed.tracking, TrackingConfig, where="conf/tracking"))


if __name__ == "__main__":
    run_stage(stage, lock_name=lambda composed: "compare")
