"""The train stage of one cell: `python pipelines/train.py backbone=resnet50_slim strategy=fine_tuning …`."""

import checkout  # noqa: F401
from omegaconf import DictConfig

from backbench.cli.entry import run_stage
from backbench.config.config import cell_config, to_typed
from backbench.config.running_config import WorkersConfig


def stage(composed: DictConfig) -> str:
    # Imported here, so that a mistake in the configuration is told before anything is imported.
    config = cell_config(composed)
    workers = to_typed(composed.workers, WorkersConfig, where="conf/workers")
    from backbench.stages.train.train import train

    return train(config, workers)


if __name__ == "__main__":
    run_stage(
        stage,
        lock_name=lambda composed: f"train-{composed.backbone.name}-{composed.strategy.name}",
        chosen_by_benchmark=("workers", "weights"),
    )
