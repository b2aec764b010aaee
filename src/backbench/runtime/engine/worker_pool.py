"""Keeping as many workers alive as a stage wants."""

from collections.abc import Collection
from pathlib import Path

from backbench.runtime.engine.launchers import Launcher, Started
from backbench.runtime.errors import WorkerError

MOST_FRUITLESS_STARTS = 3


class WorkerPool:
    """Workers that a launcher starts, and starts again where one has ended; each has a number of its own."""

    def __init__(self, title: str, launcher: Launcher, num_workers: int, *, logs: Path) -> None:
        """Keep at most so many workers for the work of that title; none is started yet."""
        self._title, self._launcher, self._num_workers = title, launcher, num_workers
        self._num_asked, self._logs = 0, logs
        self._alive: dict[int, Started] = {}
        self._connected: set[int] = set()
        self._num_fruitless = 0

    def keep(self, connected: Collection[int], num_tasks: int) -> None:
        """Have as many workers as there are tasks, so many at most; start again what has ended.

        Args:
            connected: The numbers of the workers that the scheduler knows now.
            num_tasks: How many tasks are left.

        Raises:
            WorkerError: workers end, again and again, before they have connected.
        """
        for number, started in list(self._alive.items()):
            if number in connected:
                self._connected.add(number)
                self._num_fruitless = 0
                continue
            how = started.how_it_ended()
            if how is None and not (started.is_told_by_connection and number in self._connected):
                continue
            if number not in self._connected:
                self._num_fruitless += 1
                if self._num_fruitless >= MOST_FRUITLESS_STARTS:
                    raise WorkerError(
                        f"expected workers to connect, found that {MOST_FRUITLESS_STARTS} ended before they did, the "
                        f"last {how}"
                    )
            self._connected.discard(number)
            del self._alive[number]
        wanted = min(self._num_workers, num_tasks)
        lacking = [number for number in range(self._num_workers) if number not in self._alive]
        lacking = lacking[: max(0, wanted - len(self._alive))]
        if wanted > self._num_asked:
            print(f"{self._title}: asks for {wanted} workers; their logs are in {self._logs}", flush=True)
            self._num_asked = wanted
        if lacking:
            self._alive |= {started.number: started for started in self._launcher(lacking)}

    def end(self) -> None:
        """Have all of them end, after the scheduler has."""
        for started in self._alive.values():
            started.end()
