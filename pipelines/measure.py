"""The measure stage, of every backbone that conf/benchmark.yaml names: `python pipelines/measure.py`."""

import checkout  # noqa: F401
from omegaconf import DictConfig

from backbench.cli.entry import run_stage
from backbench.config import catalog
from backbench.config.backbone_config import BackboneConfig
from backbench.config.config import BenchmarkConfig, to_typed
from backbench.stages.measure.measure import Measurement, measure


def measured(backbone: BackboneConfig, benchmark: BenchmarkConfig) -> Measurement:
    # Imported here, so that where all is measured already TensorFlow is not imported.
    from backbench.stages.measure.speed import measured as measured_now

    return measured_now(backbone, benchmark)


def stage(composed: DictConfig) -> str:
    benchmark = to_typed(composed.benchmark, BenchmarkConfig, where="conf/benchmark.yaml")
    return measure(benchmark, catalog.read_backbones(benchmark.backbones), measured)


if __name__ == "__main__":
    run_stage(stage, lock_name=lambda composed: "measure")
