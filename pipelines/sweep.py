"""The sweep stage of one cell: `python pipelines/sweep.py backbone=resnet50_slim strategy=fine_tuning …`."""

import checkout  # noqa: F401
from omegaconf import DictConfig

from backbench.cli.entry import run_stage
from backbench.config.config import cell_config, to_typed
from backbench.config.running_config import WorkersConfig


def stage(composed: DictConfig) -> str:
    config = cell_config(composed)
    workers = to_typed(composed.workers, WorkersConfig, where="conf/workers")
    # Imported here, so that a mistake in the configuration is told before anything is imported.
    from backbench.stages.sweep.sweep import sweep

    return sweep(config, workers)


if __name__ == "__main__":
    run_stage(
        stage,
        lock_name=lambda composed: f"sweep-{composed.backbone.name}-{composed.strategy.name}",
        chosen_by_benchmark=("workers", "weights"),
    )
