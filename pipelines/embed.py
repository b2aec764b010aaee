"""The embed stage of one cell: `python pipelines/embed.py backbone=resnet50_slim strategy=fine_tuning …`."""

import checkout  # noqa: F401
from omegaconf import DictConfig

from backbench.cli.entry import run_stage
from backbench.config.config import cell_config


def stage(composed: DictConfig) -> str:
    # Imported here, so that a mistake in the configuration is told before TensorFlow is imported.
    config = cell_config(composed)
    from backbench.stages.embed import embed

    return embed(config)


if __name__ == "__main__":
    run_stage(stage, lock_name=lambda composed: f"embed-{composed.backbone.name}-{composed.strategy.name}")
