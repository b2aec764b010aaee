"""A worker, however it is started: `python -m backbench.runtime.engine.worker FOLDER NUMBER`.

It connects to the scheduler whose address and certificate lie in FOLDER, runs tasks one at a time, and imports no
network. On SIGTERM, SIGUSR1 and SIGUSR2, and when the scheduler is gone, the task at hand saves what it has and leaves.
"""

import asyncio
import os
import signal
import sys
import uuid
from pathlib import Path
from typing import Any

import dask
from distributed import Status, Worker
from distributed.comm import get_address_host
from distributed.utils import json_load_robust

from backbench.runtime.engine import worker_tasks
from backbench.runtime.engine.connection import LOOPBACK, SCHEDULER_FILE, SETTINGS, security_of
from backbench.runtime.hardware import VISIBLE, own_gpu
from backbench.runtime.interruption import StopSignals

POLL_SECONDS = 0.2
# Until the scheduler has heard that a task is to run elsewhere.
SAYING_SECONDS = 0.5
CONNECT_SECONDS = 60


def work(folder: Path, number: int) -> None:
    """Run tasks until the scheduler ends, or this process is asked to leave: then it ends by the signal, as others do.

    Args:
        folder: Of the scheduler's address and certificate.
        number: Of this worker among those that run at once; it takes a GPU by it, where this machine has several.
    """
    gpu = own_gpu(number, os.environ)
    if gpu is not None:
        os.environ[VISIBLE] = gpu
    dask.config.set(SETTINGS)
    scheduler = str(json_load_robust(folder / SCHEDULER_FILE, timeout=CONNECT_SECONDS)["address"])
    worker_options = {
        "security": security_of(folder),
        "name": f"{number}-{uuid.uuid4().hex[:8]}",
        "nthreads": 1,
        "memory_limit": 0,
        "host": LOOPBACK if get_address_host(scheduler) == LOOPBACK else None,
        "dashboard_address": f"{LOOPBACK}:0",
        "death_timeout": CONNECT_SECONDS,
    }
    received = asyncio.run(_serve(scheduler, worker_options))
    if received is not None:
        signal.raise_signal(received)


async def _serve(scheduler: str, worker_options: dict[str, Any]) -> signal.Signals | None:
    """Run tasks, and return the signal at which this worker left, if one came.

    A signal that comes before it has connected does what it always did.
    """
    async with Worker(scheduler, **worker_options) as worker:
        with StopSignals() as signals:
            gone = asyncio.create_task(worker.finished())
            while not gone.done():
                if signals.came() and worker.status == Status.running:
                    worker.status = Status.paused  # the scheduler sends nothing new
                if worker.status != Status.running:
                    worker_tasks.ask()
                if signals.came() and worker.status == Status.paused and not worker.state.executing_count:
                    await asyncio.sleep(SAYING_SECONDS)
                    await worker.close_gracefully(restart=False)
                await asyncio.wait([gone], timeout=POLL_SECONDS)
            worker_tasks.ask()
            await asyncio.to_thread(worker_tasks.end)
    return signals.received


if __name__ == "__main__":
    work(Path(sys.argv[1]), int(sys.argv[2]))
