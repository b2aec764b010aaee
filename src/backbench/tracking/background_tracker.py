"""What a stage records in MLflow while it runs, without ever waiting for MLflow until the stage's end.

Records are kept in order and written by one thread. While the store is away the thread keeps them and tries again;
whatever is lost with it can be written later from `results/`, by `publishing.py`.
"""

from dataclasses import replace
from functools import partial
from queue import SimpleQueue
from threading import Event, Thread
from time import monotonic
from types import TracebackType

from backbench.config.running_config import TrackingConfig
from backbench.results.records import SeedRecord, TrialRecord
from backbench.runtime.errors import StoreAwayError
from backbench.tracking.cell_writer import CellWriter
from backbench.tracking.connection import Connection
from backbench.tracking.refusals import until_back
from backbench.tracking.runs import CellRun, child_of, code_tags
from backbench.tracking.store_address import store_shown

OPENING_SECONDS = 10.0  # after which a store that has not answered is taken for one that may yet do
FAREWELL_SECONDS = 2.0  # for the record that is being written when a stage dies
LOOK_SECONDS = 0.2


class BackgroundTracker:
    """Records one cell while a stage computes it; use it in a `with` statement.

    Every method returns at once. What the store refuses, but for being away, is raised by the next call or at the end,
    as TrackingError. At the end of a stage that succeeds, what is left is waited for, for `patience_seconds` where the
    store is away; then a line says who adds the rest. A stage that fails does not wait.
    """

    def __init__(self, config: TrackingConfig, cell: CellRun) -> None:
        """Open the store and begin the cell's run there, or begin to.

        Raises:
            TrackingError: the store refuses: the address is wrong, its driver is not installed, the MLflow experiment
                is deleted, or this user may not write there.
        """
        self._config, self._cell = config, cell
        self._code = code_tags()  # of what this process runs, whatever is checked out when the store is back
        self._cells: SimpleQueue[CellRun | None] = SimpleQueue()
        self._writer: CellWriter | None = None
        self._failure: BaseException | None = None
        self._answered, self._away, self._given_up = Event(), Event(), Event()
        self._thread = Thread(target=self._write_all, name="background tracker", daemon=True)
        self._thread.start()
        self.write(cell)
        self._answered.wait(OPENING_SECONDS)
        self._raise_failure()

    def add(self, finished: TrialRecord | SeedRecord) -> None:
        """Record a finished trial or a final model; repeat it freely."""
        self.write(replace(self._cell, children=[child_of(finished)]))

    def write(self, cell: CellRun) -> None:
        """Record a cell as `CellWriter.write` does; repeat it freely."""
        self._raise_failure()
        self._cells.put(cell)

    def __enter__(self) -> "BackgroundTracker":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._cells.put(None)
        if error is not None:
            self._given_up.set()
            self._thread.join(FAREWELL_SECONDS)
        else:
            self._wait()
            self._raise_failure()

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise self._failure

    def _wait(self) -> None:
        """Wait until all is written, or the store was away for too long."""
        deadline = monotonic() + self._config.patience_seconds
        while self._thread.is_alive():
            self._thread.join(LOOK_SECONDS)
            if self._away.is_set() and monotonic() >= deadline:
                self._given_up.set()
                print(
                    f"the MLflow store is still away after {self._config.patience_seconds:g} s: going on without it; "
                    "the results are whole, and `make report` adds what it lacks",
                    flush=True,
                )
                return

    def _write_all(self) -> None:
        """Write what is recorded in its order, on the thread, until there is no more."""
        try:
            while (cell := self._cells.get()) is not None and not self._given_up.is_set():
                until_back(partial(self._write, cell), store_shown(self._config.uri), wait=self._pause)
                self._away.clear()
                self._answered.set()
        except StoreAwayError:
            assert self._given_up.is_set()
        except BaseException as error:
            self._failure = error
        finally:
            self._answered.set()

    def _write(self, cell: CellRun) -> None:
        self._writer = self._writer or CellWriter(Connection(self._config), self._code)
        self._writer.write(cell)

    def _pause(self, seconds: float) -> bool:
        self._away.set()
        self._answered.set()
        return self._given_up.wait(seconds)
