"""The size stage: `python pipelines/size.py dataset=folder`."""

import checkout  # noqa: F401
from omegaconf import DictConfig

from backbench.cli.entry import run_stage
from backbench.config import catalog
from backbench.config.config import BenchmarkConfig, to_typed
from backbench.config.dataset_config import DatasetConfig
from backbench.stages.size import size


def stage(composed: DictConfig) -> str:
    dataset = to_typed(composed.dataset, DatasetConfig, where=f"conf/dataset/{composed.dataset.name}.yaml")
    benchmark = to_typed(composed.benchmark, BenchmarkConfig, where="conf/benchmark.yaml")
    return size(dataset, catalog.read_backbones(benchmark.backbones))


if __name__ == "__main__":
    run_stage(stage, lock_name=lambda composed: "size")
