"""One scheduler with its workers, for all cells of a benchmark run: `make cluster`, or this with `workers=slurm`."""

import sys

import checkout  # noqa: F401
from omegaconf import DictConfig

from backbench.cli.doctor.plan import workers_to_start
from backbench.cli.entry import refusing, run_stage
from backbench.cli.repro_lock import take
from backbench.config.config import to_typed
from backbench.config.running_config import WorkersConfig
from backbench.runtime.paths import CLUSTER, CLUSTER_LOCK


def stage(composed: DictConfig) -> str:
    workers = to_typed(composed.workers, WorkersConfig, where=f"conf/workers/{composed.workers.name}.yaml")
    # Imported here, so that a mistake in the configuration is told before anything is imported.
    from backbench.runtime.engine.scheduler import run_shared_scheduler

    return run_shared_scheduler(workers, CLUSTER)


if __name__ == "__main__":
    with refusing():
        take(CLUSTER_LOCK)
        chosen = workers_to_start()  # where it cannot be read, before Hydra reads it, which shows its stack
        if not any(argument.startswith("workers=") for argument in sys.argv[1:]):
            sys.argv.append(f"workers={chosen}")
    run_stage(stage, lock_name=lambda composed: "cluster")
