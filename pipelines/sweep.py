"""The sweep stage of one cell: `python pipelines/sweep.py backbone=resnet50_slim strategy=fine_tuning …`."""

import sys
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from backbench.config import WorkersConfig, cell_config, to_typed
from backbench.entry import run_stage


def worker_command(workers: WorkersConfig, logs: Path) -> list[str]:
    """Spell what starts all workers through Hydra's launcher; where it names none, what starts one."""
    given = HydraConfig.get().overrides
    program = [sys.executable, str(Path(__file__).with_name("worker.py"))]
    overrides = [*(override for override in given.hydra if not override.startswith("hydra.mode=")), *given.task]
    if workers.launcher is None:
        return [*program, *overrides, "worker=0"]
    launcher = [f"hydra/launcher={workers.launcher}", f"hydra.sweep.dir={logs}"]
    return [*program, "--multirun", *overrides, *launcher, f"worker=range({workers.num_workers})"]


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
