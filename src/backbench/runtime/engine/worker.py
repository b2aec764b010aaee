"""A worker, however it is started: `python -m backbench.runtime.engine.worker FOLDER NUMBER`.

It connects to the scheduler whose address and certificate lie in FOLDER, runs tasks one at a time, and imports no
network. On SIGTERM, SIGUSR1 and SIGUSR2, and when the scheduler is gone, the task at hand saves what it has and leaves.
"""

import asyncio
import os
import signal
import sys
import time
import uuid
from contextlib import ExitStack
from pathlib import Path

import dask
from distributed import Status, Worker
from distributed.comm import get_address_host
from distributed.utils import json_load_robust

from backbench.runtime.engine import worker_tasks
from backbench.runtime.engine.certificate import security_of
from backbench.runtime.engine.settings import LOOPBACK, SCHEDULER_FILE, SETTINGS
from backbench.runtime.hardware import VISIBLE, own_gpu
from backbench.runtime.interruption import StopSignals

POLL_SECONDS = 0.2
# Until the scheduler has heard that a task is to run elsewhere.
SAYING_SECONDS = 0.5
CONNECT_SECONDS = 60
LONGEST_GRACE_SECONDS = 3600.0


def work(folder: Path, number: int) -> None:
    """Run tasks until the scheduler ends, or this process is asked to leave.

    Args:
        folder: Of the scheduler's address and certificate.
        number: Of this worker among those that run at once; it takes a GPU by it, where this machine has several.
    """
    gpu = own_gpu(number, os.environ)
    if gpu is not None:
        os.environ[VISIBLE] = gpu
    dask.config.set(SETTINGS)
    with ExitStack() as connected:
        left_at = asyncio.run(_serve(folder, number, connected))
        worker_tasks.end()
    if left_at is not None:
        _leave(left_at)


async def _serve(folder: Path, number: int, connected: ExitStack) -> signal.Signals | None:
    """Run tasks, and return the signal at which this worker left, if the scheduler did not end before.

    A signal that comes before it has connected does what it always did.
    """
    scheduler = str(json_load_robust(folder / SCHEDULER_FILE, timeout=CONNECT_SECONDS)["address"])
    async with Worker(
        scheduler,
        security=security_of(folder),
        name=f"{number}-{uuid.uuid4().hex[:8]}",
        nthreads=1,
        memory_limit=0,
        host=LOOPBACK if get_address_host(scheduler) == LOOPBACK else None,
        dashboard_address=f"{LOOPBACK}:0",
        death_timeout=CONNECT_SECONDS,
    ) as worker:
        signals = connected.enter_context(StopSignals())
        gone = asyncio.create_task(worker.finished())
        is_asked = has_left = False
        while not gone.done():
            if signals.came() and worker.status == Status.running:
                worker.status = Status.paused  # the scheduler sends nothing new
            if not is_asked and worker.status != Status.running:
                is_asked = True
                worker_tasks.ask()
            if signals.came() and worker.status == Status.paused and not worker.state.executing_count:
                has_left = True
                await asyncio.sleep(SAYING_SECONDS)
                await worker.close_gracefully(restart=False)
            await asyncio.wait([gone], timeout=POLL_SECONDS)
        worker_tasks.ask()
    return signals.received if has_left else None


def _leave(received: signal.Signals) -> None:
    """Let the signal do what it does where nobody minds it: submitit sends its job back to the queue, others end."""
    signal.raise_signal(received)
    if os.environ.get("SUBMITIT_EXECUTOR") == "slurm":
        # If it ended now, the job would be done. Who sent the signal ends it; what was preempted, SLURM starts again.
        time.sleep(LONGEST_GRACE_SECONDS)


if __name__ == "__main__":
    work(Path(sys.argv[1]), int(sys.argv[2]))
