"""A scheduler of Dask, in this process or running already, and the workers that this process keeps for it."""

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import dask
from distributed import Client, LocalCluster

from backbench.runtime.engine import worker_tasks
from backbench.runtime.engine.connection import (
    CERTIFICATE,
    LOOPBACK,
    SCHEDULER_FILE,
    SETTINGS,
    make_certificate,
    security_of,
)
from backbench.runtime.engine.worker_pool import MODULE, WorkerPool
from backbench.runtime.engine.workers import Workers
from backbench.runtime.errors import WorkerError, causes
from backbench.runtime.interruption import StopSignals

EVERY_DEVICE = "0.0.0.0"
POLL_SECONDS = 0.5
MOST_DEATHS = 3
# On a scheduler that several stages share, their tasks are blamed for each other's deaths.
MOST_DEATHS_SHARED = 20


@contextmanager
def scheduler(folder: Path, workers: Workers, *, most_deaths: int) -> Iterator[None]:
    """Run a scheduler in this process, whose address and certificate lie in `folder`, for this user alone to read."""
    folder.mkdir(parents=True, exist_ok=True)
    for file in (folder / SCHEDULER_FILE, *folder.glob("worker-*.log")):
        file.unlink(missing_ok=True)
    make_certificate(folder)
    dask.config.set(SETTINGS)
    host = workers.host or EVERY_DEVICE
    try:
        running = LocalCluster(
            n_workers=0,
            host=host,
            protocol="tls://",
            security=security_of(folder),
            dashboard_address=f"{LOOPBACK}:{workers.dashboard_port or 0}",
            silence_logs=50,
            scheduler_kwargs={
                "scheduler_file": str(folder / SCHEDULER_FILE),
                "allowed_failures": most_deaths - 1,
                "worker_ttl": workers.lost_after_seconds,
            },
        )
    except RuntimeError as error:
        *_, first = causes(error)
        raise WorkerError(
            f"expected a scheduler to listen on {host}, found: {first}; correct `host` in "
            f"conf/workers/{workers.name}.yaml, an address of this machine or null"
        ) from error
    with running:
        if workers.dashboard_port:
            print(f"Dask's dashboard: {running.dashboard_link}", flush=True)
        yield


@contextmanager
def connected(folder: Path) -> Iterator[Client]:
    """Connect to the scheduler whose address and certificate lie in a folder."""
    dask.config.set(SETTINGS)
    if not (folder / SCHEDULER_FILE).is_file() or not (folder / CERTIFICATE).is_file():
        raise WorkerError(
            f"expected the address and the certificate of a scheduler in {folder}, found none; start `make cluster`, "
            "and leave it running"
        )
    try:
        client = Client(scheduler_file=str(folder / SCHEDULER_FILE), security=security_of(folder), timeout=30)
    except (OSError, TimeoutError) as error:
        raise WorkerError(
            f"expected the scheduler of {folder} to answer, found: {error}; start `make cluster` again"
        ) from error
    with client:
        yield client


@contextmanager
def with_workers(
    title: str, workers: Workers, folder: Path, *, most_deaths: int = MOST_DEATHS
) -> Iterator[tuple[Client, WorkerPool]]:
    """Run a scheduler, and yield a client of it and its workers, of which none is started; they end after it."""
    with (
        WorkerPool(title, workers, folder) as pool,
        scheduler(folder, workers, most_deaths=most_deaths),
        connected(folder) as client,
    ):
        yield client, pool


def connected_numbers(client: Client) -> list[int]:
    """Return the numbers of the workers that take tasks now."""
    known = client.scheduler_info(n_workers=-1)["workers"].values()
    return [int(str(worker["name"]).partition("-")[0]) for worker in known if worker["status"] == "running"]


def run_shared_scheduler(workers: Workers, folder: Path) -> str:
    """Run a scheduler for all stages with `workers: address` until Ctrl-C or a signal, and return the last line to say.

    Tasks that run then leave at their next good place; their stages find the scheduler gone.

    Args:
        workers: All of them are kept, whether there is work or not; without `start`, somebody else starts them.
        folder: For the scheduler's address and certificate, and the workers' logs.

    Raises:
        WorkerError: nothing starts such workers, or they end, again and again, before they have connected.
    """
    if workers.is_this_process:
        raise WorkerError(
            f"expected workers that something starts, found workers={workers.name}; choose others, such as "
            "`make cluster WORKERS=local`"
        )
    with (
        StopSignals() as signals,
        with_workers("cluster", workers, folder, most_deaths=MOST_DEATHS_SHARED) as (client, pool),
    ):
        if workers.start is None:
            print(f"cluster: start its workers, of number 0, 1, …: python -m {MODULE} {folder} 0", flush=True)
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
            client.run(worker_tasks.pause, on_error="ignore")
            if any(client.processing().values()):
                print("cluster: waits for what runs to leave; Ctrl-C does not wait", flush=True)
            while any(client.processing().values()):
                time.sleep(POLL_SECONDS)
    return f"the cluster has ended; its workers' logs are in {folder}"
