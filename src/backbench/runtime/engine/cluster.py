"""Running a stage's tasks by workers elsewhere.

As many tasks are in flight as there are workers, for of a worker that dies Dask blames every task that it was assigned.
A record is fetched and its future released at once, or it would be computed again where its worker dies later.
"""

import pickle
import time
import uuid
from collections import deque
from collections.abc import Iterator
from concurrent.futures import CancelledError
from contextlib import ExitStack, contextmanager, suppress
from functools import cache
from itertools import chain
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

from distributed import Client, Future
from distributed.scheduler import KilledWorker

from backbench.runtime import paths
from backbench.runtime.engine import worker_tasks
from backbench.runtime.engine.engine import Opening, Run, Tasks
from backbench.runtime.engine.scheduler import POLL_SECONDS, connected, connected_numbers, with_workers
from backbench.runtime.engine.worker_pool import WorkerPool
from backbench.runtime.engine.workers import Workers
from backbench.runtime.errors import WorkerError
from backbench.runtime.interruption import Interrupted, StopSignals

FETCH_SECONDS = 5.0


@contextmanager
def cluster(title: str, workers: Workers, opening: Opening, signals: StopSignals) -> Iterator[Run]:
    """Yield what runs tasks by workers, as `engine.running` has it; nothing is started before the first task."""
    with ExitStack() as opened:

        @cache
        def begun() -> _Running:
            client, pool = opened.enter_context(_client_and_pool(title, workers))
            return _Running(title, client, pool, opening, signals)

        yield lambda tasks: begun().run(tasks) if tasks else iter(())


@contextmanager
def _client_and_pool(title: str, workers: Workers) -> Iterator[tuple[Client, WorkerPool | None]]:
    if workers.scheduler is None:
        with with_workers(title, workers, paths.workers_folder(title)) as client_and_pool:
            yield client_and_pool
    else:
        with connected(Path(workers.scheduler)) as client:
            yield client, None


class _Running:
    """The tasks of one stage on a scheduler."""

    def __init__(
        self, title: str, client: Client, pool: WorkerPool | None, opening: Opening, signals: StopSignals
    ) -> None:
        self._title, self._client, self._pool, self._signals = title, client, pool, signals
        self._session, self._opening = f"{title} {uuid.uuid4().hex}", pickle.dumps(opening)
        self._ended: SimpleQueue[Future] = SimpleQueue()
        self._in_flight: dict[Future, str] = {}
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
            try:
                record = self._record(name, future)
            except Interrupted:
                waiting.appendleft(name)
            else:
                yield name, record

    def _submit(self, name: str, tasks: Tasks) -> None:
        task = pickle.dumps(tasks[name])
        future = self._client.submit(worker_tasks.compute, self._session, self._opening, task, pure=False)
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

    def _record(self, name: str, future: Future) -> Any:
        """Fetch a task's record; where its worker died meanwhile, it is computed again first.

        Raises:
            Interrupted: the task has left, because its worker was asked to.
            WorkerError: it takes what runs it down again and again, or raised what is no BackbenchError.
            BackbenchError: as the task raised it.
        """
        try:
            while True:
                try:
                    return future.result(timeout=FETCH_SECONDS)
                except TimeoutError:
                    self._look(len(self._in_flight) + 1)
        except KilledWorker as error:
            deadly = worker_tasks.deadly("the worker", error.allowed_failures + 1)
            raise WorkerError(f"{self._title}: {name}: {deadly}") from error
        except WorkerError as error:
            raise WorkerError(f"{self._title}: {name}: {error}") from error
        except CancelledError as error:
            raise self._gone() from error
        finally:
            future.release()

    def _gone(self) -> WorkerError:
        return WorkerError(
            f"{self._title}: expected the scheduler to answer, found it gone; see that one runs, and start this again: "
            "it goes on where it was"
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
