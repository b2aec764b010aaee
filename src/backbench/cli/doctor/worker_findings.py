"""Whether the workers that conf/benchmark.yaml names can be started from here."""

import shutil
from pathlib import Path

from backbench.cli.doctor.finding import Finding, missing, ready
from backbench.runtime.engine.settings import SCHEDULER_FILE
from backbench.runtime.engine.workers import Workers

SBATCH = "sbatch"


def workers_finding(workers: Workers) -> Finding:
    """Say who runs the tasks of a stage; nothing is started, and no scheduler asked."""
    if workers.scheduler is not None:
        if (Path(workers.scheduler) / SCHEDULER_FILE).is_file():
            return _ready(workers, f"those of the scheduler in {workers.scheduler}")
        return _missing(workers, f"no scheduler in {workers.scheduler}", "start one by `make cluster` in another shell")
    if workers.launcher is None:
        return _ready(workers, "every stage computes in its own process")
    if workers.launcher == "slurm" and shutil.which(SBATCH) is None:
        return _missing(workers, f"no {SBATCH} here", "start `make repro` where it is, or name other workers")
    kinds = {"local": "processes on this machine", "slurm": "jobs of SLURM", "queue": f"by `{workers.submit}`"}
    return _ready(workers, f"up to {workers.num_workers} of a stage, {kinds[workers.launcher]}")


def _ready(workers: Workers, found: str) -> Finding:
    return ready("workers", f"{workers.name}: {found}")


def _missing(workers: Workers, found: str, advice: str) -> Finding:
    return missing("workers", f"{workers.name}: {found}", advice)
