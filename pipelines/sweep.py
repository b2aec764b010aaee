"""The sweep stage of one cell: `python pipelines/sweep.py backbone=resnet50_slim strategy=fine_tuning …`."""

import sys
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from backbench.config import WorkersConfig, cell_config, to_typed
from backbench.entry import run_stage


def worker_command(workers: WorkersConfig, logs: Path) -> list[str]:
    """Spell what starts all workers through Hydra's launcher; where it names none, what starts one."""
    overrides = [*HydraConfig.get().overrides.task, f"hydra.sweep.dir={logs}"]
    if workers.launcher is None:
        return [sys.executable, "pipelines/worker.py", *overrides, "worker=0"]
    numbers = f"worker=range({workers.num_workers})"
    launcher = f"hydra/launcher={workers.launcher}"
    return [sys.executable, "pipelines/worker.py", "--multirun", *overrides, launcher, numbers]


def stage(composed: DictConfig) -> str:
    # Imported here, so that a mistake in the configuration is told before TensorFlow is imported.
    config = cell_config(composed)
    workers = to_typed(composed.workers, WorkersConfig, where="conf/workers")
    from backbench.stages.sweep import sweep

    return sweep(config, workers, lambda logs: worker_command(workers, logs))


if __name__ == "__main__":
    run_stage(
        stage,
        lock_name=lambda composed: f"sweep-{composed.backbone.name}-{composed.strategy.name}",
        chosen_by_benchmark="workers",
    )
