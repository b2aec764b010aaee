"""Running a stage's tasks by workers elsewhere: a scheduler of Dask, in this process or running already.

As many tasks are in flight as there are workers, for of a worker that dies Dask blames every task that it was assigned.
A record is fetched and its future released at once, or it would be computed again where its worker dies later.
"""

import pickle
import time
import uuid
from collections import Counter, deque
from collections.abc import Iterator
from concurrent.futures import CancelledError
from contextlib import ExitStack, contextmanager, suppress
from itertools import chain
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

import dask
from distributed import Client, Future, LocalCluster
from distributed.scheduler import KilledWorker

from backbench.runtime import paths
from backbench.runtime.engine import worker_tasks
from backbench.runtime.engine.certificate import CERTIFICATE, make_certificate, security_of
from backbench.runtime.engine.engine import Opening, Run, Tasks
from backbench.runtime.engine.launchers import launcher_of
from backbench.runtime.engine.settings import LOOPBACK, SCHEDULER_FILE, SETTINGS
from backbench.runtime.engine.worker_pool import WorkerPool
from backbench.runtime.engine.worker_tasks import DIED, DONE, FAILED, REFUSED, Answer
from backbench.runtime.engine.workers import Workers
from backbench.runtime.errors import WorkerError, causes
from backbench.runtime.interruption import Interrupted, StopSignals

EVERY_DEVICE = "0.0.0.0"
POLL_SECONDS = 0.5
FETCH_SECONDS = 5.0
MOST_DEATHS = 3
# On a scheduler that several stages share, their tasks are blamed for each other's deaths.
MOST_DEATHS_SHARED = 20


@contextmanager
def cluster(title: str, workers: Workers, opening: Opening, signals: StopSignals) -> Iterator[Run]:
    """Yield what runs tasks by workers, as `engine.running` has it; nothing is started before the first task."""
    dask.config.set(SETTINGS)
    with ExitStack() as opened:
        begun: list[_Running] = []

        def run(tasks: Tasks) -> Iterator[tuple[str, Any]]:
            if tasks and not begun:
                pool = None if workers.scheduler is not None else _started(title, workers, opened)
                client = opened.enter_context(connected(Path(workers.scheduler or paths.workers_folder(title))))
                begun.append(_Running(title, client, pool, opening, signals))
            return begun[0].run(tasks) if tasks else iter(())

        yield run


def _started(title: str, workers: Workers, opened: ExitStack) -> WorkerPool:
    folder = paths.workers_folder(title)
    pool = WorkerPool(title, launcher_of(workers, folder.resolve()), workers.num_workers, logs=folder)
    opened.callback(pool.end)  # when the scheduler has ended
    opened.enter_context(scheduler(folder, workers, most_deaths=MOST_DEATHS))
    return pool


@contextmanager
def scheduler(folder: Path, workers: Workers, *, most_deaths: int) -> Iterator[None]:
    """Run a scheduler in this process, whose address and certificate lie in `folder`, for this user alone to read."""
    folder.mkdir(parents=True, exist_ok=True)
    for file in (folder / SCHEDULER_FILE, *folder.glob("worker-*.log")):
        file.unlink(missing_ok=True)
    make_certificate(folder)
    host = workers.host or (LOOPBACK if workers.launcher == "local" else EVERY_DEVICE)
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


def connected_numbers(client: Client) -> list[int]:
    """Return the numbers of the workers that take tasks now."""
    known = client.scheduler_info(n_workers=-1)["workers"].values()
    return [int(str(worker["name"]).partition("-")[0]) for worker in known if worker["status"] == "running"]


class _Running:
    """The tasks of one stage on a scheduler."""

    def __init__(
        self, title: str, client: Client, pool: WorkerPool | None, opening: Opening, signals: StopSignals
    ) -> None:
        self._title, self._client, self._pool, self._signals = title, client, pool, signals
        self._session, self._opening = f"{title} {uuid.uuid4().hex}", pickle.dumps(opening)
        self._ended: SimpleQueue[Future] = SimpleQueue()
        self._in_flight: dict[Future, str] = {}
        self._deaths: Counter[str] = Counter()
        self._num_workers, self._looked = 0, 0.0

    def run(self, tasks: Tasks) -> Iterator[tuple[str, Any]]:
        """Run tasks, and yield each one's name and record, as they end."""
        waiting, self._looked = deque(tasks), 0.0
        while waiting or self._in_flight:
            self._look(len(waiting) + len(self._in_flight))
            while waiting and len(self._in_flight) < self._num_workers:
                self._submit(waiting.popleft(), tasks)
            try:
                future = self._ended.get(timeout=POLL_SECONDS)
            except Empty:
                continue
            name = self._in_flight.pop(future)
            answer = self._answer(name, future)
            if answer is None:
                waiting.appendleft(name)
            else:
                yield name, answer[0]

    def _submit(self, name: str, tasks: Tasks) -> None:
        future = self._client.submit(
            worker_tasks.compute, self._session, self._opening, pickle.dumps(tasks[name]), pure=False
        )
        self._in_flight[future] = name
        future.add_done_callback(self._ended.put)

    def _look(self, num_tasks: int) -> None:
        """See now and then which workers there are, as many as tasks, and whether this process is asked to leave."""
        if self._signals.came():
            self._leave()
        if time.monotonic() - self._looked < POLL_SECONDS:
            return
        if self._client.status != "running":  # it would connect again, but without its tasks
            raise self._gone()
        numbers = connected_numbers(self._client)
        if self._pool is not None:
            self._pool.keep(numbers, num_tasks)
        self._num_workers, self._looked = len(numbers), time.monotonic()

    def _answer(self, name: str, future: Future) -> tuple[Any] | None:
        """Return a task's record in a tuple of its own; None where it is to be run again.

        Raises:
            WorkerError: it takes its worker down again and again, or cannot be run.
            BackbenchError: as the task raised it.
        """
        try:
            kind, content = self._fetched(future)
        except KilledWorker as error:
            raise self._deadly(name, "its worker dead", error.allowed_failures + 1) from error
        except CancelledError as error:
            raise self._gone() from error
        future.release()
        if kind == DONE:
            return (content,)
        if kind == REFUSED:
            raise content
        if kind == FAILED:
            raise WorkerError(f"{self._title}: {name}: {content}; the workers' logs say where")
        if kind == DIED:
            self._deaths[name] += 1
            if self._deaths[name] >= MOST_DEATHS:
                raise self._deadly(name, "the process dead that computes it", MOST_DEATHS)
            print(f"{self._title}: {name}: its process died; it is run again", flush=True)
        return None

    def _fetched(self, future: Future) -> Answer:
        """Fetch what a task said; where its worker died meanwhile, it is run again first."""
        while True:
            try:
                return future.result(timeout=FETCH_SECONDS)
            except TimeoutError:
                self._look(len(self._in_flight) + 1)

    def _gone(self) -> WorkerError:
        return WorkerError(
            f"{self._title}: expected the scheduler to answer, found it gone; see that one runs, and start this again: "
            "it goes on where it was"
        )

    def _deadly(self, name: str, found: str, times: int) -> WorkerError:
        return WorkerError(
            f"{self._title}: expected {name} to end, found {times} times {found}; look into the workers' logs "
            "for what kills it, which often is memory"
        )

    def _leave(self) -> None:
        """Have every task in flight leave, wait until no worker is at one, and leave.

        Raises:
            Interrupted: always.
        """
        keys = {future.key for future in self._in_flight}
        while self._client.status == "running" and not keys.isdisjoint(chain(*self._client.processing().values())):
            self._client.run(worker_tasks.ask, self._session, on_error="ignore")
            with suppress(Empty):
                self._ended.get(timeout=POLL_SECONDS)
        raise Interrupted("between two tasks")
