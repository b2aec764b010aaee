"""Whether the workers that conf/benchmark.yaml names can be started from here."""

import shlex
import shutil
from pathlib import Path

from backbench.cli.doctor.finding import Finding, missing, ready
from backbench.runtime.engine.connection import SCHEDULER_FILE
from backbench.runtime.engine.workers import Workers


def workers_finding(workers: Workers) -> Finding:
    """Say who runs the tasks of a stage; nothing is started, and no scheduler asked."""
    if workers.scheduler is not None:
        if (Path(workers.scheduler) / SCHEDULER_FILE).is_file():
            return _ready(workers, f"those of the scheduler in {workers.scheduler}")
        return _missing(workers, f"no scheduler in {workers.scheduler}", "start one by `make cluster` in another shell")
    if workers.start is None:
        return _ready(workers, "every stage computes in its own process")
    if workers.are_on_this_machine:
        return _ready(workers, f"up to {workers.num_workers} of a stage, processes on this machine")
    program = shlex.split(workers.start)[0]
    if shutil.which(program) is None:
        return _missing(workers, f"no {program} here", "start `make repro` where it is, or name other workers")
    return _ready(workers, f"up to {workers.num_workers} of a stage, each by {program}")


def _ready(workers: Workers, found: str) -> Finding:
    return ready("workers", f"{workers.name}: {found}")


def _missing(workers: Workers, found: str, advice: str) -> Finding:
    return missing("workers", f"{workers.name}: {found}", advice)
