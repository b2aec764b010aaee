"""The sweep stage of one cell: `python pipelines/sweep.py backbone=resnet50_slim strategy=fine_tuning …`."""

import checkout  # noqa: F401
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from backbench.cli.entry import run_stage
from backbench.config.config import cell_config, to_typed
from backbench.config.running_config import WorkersConfig


def overrides_of_workers() -> list[str]:
    """Return what this process was told on its command line, for its workers to be told too."""
    given = HydraConfig.get().overrides
    return [*(override for override in given.hydra if not override.startswith("hydra.mode=")), *given.task]


def stage(composed: DictConfig) -> str:
    config = cell_config(composed)
    workers = to_typed(composed.workers, WorkersConfig, where="conf/workers")
    # Imported here, so that a mistake in the configuration is told before anything is imported.
    from backbench.stages.sweep.sweep import sweep

    return sweep(config, workers, overrides_of_workers())


if __name__ == "__main__":
    run_stage(
        stage,
        lock_name=lambda composed: f"sweep-{composed.backbone.name}-{composed.strategy.name}",
        chosen_by_benchmark="workers",
    )
