"""A scheduler with workers of its own, which all stages with `workers: address` share until it is ended."""

import time
from contextlib import ExitStack, suppress
from pathlib import Path

import dask
from distributed import Client

from backbench.runtime.engine import worker_tasks
from backbench.runtime.engine.cluster import MOST_DEATHS_SHARED, POLL_SECONDS, connected, connected_numbers, scheduler
from backbench.runtime.engine.launchers import launcher_of
from backbench.runtime.engine.settings import SETTINGS
from backbench.runtime.engine.worker_pool import WorkerPool
from backbench.runtime.engine.workers import Workers
from backbench.runtime.errors import WorkerError
from backbench.runtime.interruption import StopSignals


def run_shared_cluster(workers: Workers, folder: Path) -> str:
    """Run a scheduler and its workers until Ctrl-C or a signal, and return the last line to say.

    Tasks that run then leave at their next good place; their stages find the scheduler gone.

    Args:
        workers: How they are started; all of them are kept, whether there is work or not.
        folder: For the scheduler's address and certificate, and the workers' logs.

    Raises:
        WorkerError: nothing starts such workers, or they end, again and again, before they have connected.
    """
    if workers.launcher is None:
        raise WorkerError(
            f"expected workers that something starts, found workers={workers.name}; choose others, such as "
            "`make cluster WORKERS=local`"
        )
    dask.config.set(SETTINGS)
    pool = WorkerPool("cluster", launcher_of(workers, folder.resolve()), workers.num_workers, logs=folder)
    with StopSignals() as signals, ExitStack() as opened:
        opened.callback(pool.end)  # when the scheduler has ended
        opened.enter_context(scheduler(folder, workers, most_deaths=MOST_DEATHS_SHARED))
        client = opened.enter_context(connected(folder))
        print(
            f"cluster: its scheduler is in {folder}; now set `workers: address` in conf/benchmark.yaml, and run "
            "`make repro` in another shell; Ctrl-C ends it",
            flush=True,
        )
        with suppress(KeyboardInterrupt):
            while not signals.came():
                pool.keep(connected_numbers(client), workers.num_workers)
                time.sleep(POLL_SECONDS)
        with suppress(KeyboardInterrupt):
            _let_leave(client)
    return f"the cluster has ended; its workers' logs are in {folder}"


def _let_leave(client: Client) -> None:
    """Begin nothing more, and wait until what runs has left."""
    while True:
        client.run(worker_tasks.pause, on_error="ignore")
        if not any(client.processing().values()):
            return
        print("cluster: waits for what runs to leave; Ctrl-C does not wait", flush=True)
        while any(client.processing().values()):
            time.sleep(POLL_SECONDS)
