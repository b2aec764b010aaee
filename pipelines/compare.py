"""The compare stage, on what every cell wrote: `python pipelines/compare.py`."""

from pathlib import Path

import checkout  # noqa: F401
from omegaconf import DictConfig

from backbench.cli.entry import run_stage
from backbench.config.config import BenchmarkConfig, to_typed
from backbench.config.running_config import TrackingConfig
from backbench.data.arrays.file_formats import read_json
from backbench.stages.compare import compare


def stage(composed: DictConfig) -> str:
    benchmark = to_typed(composed.benchmark, BenchmarkConfig, where="conf/benchmark.yaml")
    tracking = to_typed(composed.tracking, TrackingConfig, where="conf/tracking")
    failed = read_json(Path(composed.failed), made_by="embed") if composed.failed else {}
    return compare(benchmark, tracking, failed)


if __name__ == "__main__":
    run_stage(stage, lock_name=lambda composed: "compare")
