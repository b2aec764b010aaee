"""What a stage records in MLflow while it runs, without ever waiting for MLflow until the stage's end.

Records are kept in order and written by one thread. While the store is away the thread keeps them and tries again;
whatever is lost with it can be written later from `results/`, by `publishing.py`.
"""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from queue import SimpleQueue
from threading import Event, Thread
from time import monotonic
from types import TracebackType
from typing import Any

from backbench.config.config import TrackingConfig
from backbench.results.records import CellRecord, EpochRecord
from backbench.runtime.errors import StoreAwayError
from backbench.tracking.mlflow_outage import until_back
from backbench.tracking.runs import code_tags
from backbench.tracking.tracking import Tracker

OPENING_SECONDS = 10.0  # after which a store that has not answered is taken for one that may yet do
FAREWELL_SECONDS = 2.0  # for the record that is being written when a stage dies
LOOK_SECONDS = 0.2

Entry = Callable[[Tracker], Any]


class Logbook:
    """Stands in place of a Tracker while a stage computes; use it in a `with` statement.

    Every method returns at once. What the store refuses, but for being away, is raised by the next call or at the end,
    as TrackingError. At the end of a stage that succeeds, what is left is waited for, for `patience_seconds` where the
    store is away; then a line says how many records it lacks. A stage that fails does not wait.
    """

    def __init__(self, config: TrackingConfig) -> None:
        """Open the store, or begin to.

        Raises:
            TrackingError: the address is wrong, its driver is not installed, or the MLflow experiment is deleted.
        """
        self._config = config
        self._code = code_tags()  # of what this process runs, whatever is checked out when the store is back
        self._entries: SimpleQueue[Entry | None] = SimpleQueue()
        self._tracker: Tracker | None = None
        self._failure: BaseException | None = None
        self._answered, self._away, self._given_up = Event(), Event(), Event()
        self._thread = Thread(target=self._write_all, name="logbook", daemon=True)
        self._thread.start()
        self._answered.wait(OPENING_SECONDS)
        self._raise_failure()

    def begin_cell(
        self, cell_key: str, cell_name: str, parameters: Mapping[str, Any], tags: Mapping[str, str]
    ) -> Future[str]:
        """As `Tracker.begin_cell`; the run's id comes when the store has it."""
        parent: Future[str] = Future()
        self._record(lambda tracker: parent.set_result(tracker.begin_cell(cell_key, cell_name, parameters, tags)))
        return parent

    def log_trial(
        self,
        parent: Future[str],
        index: int,
        parameters: Mapping[str, Any],
        metrics: Mapping[str, float],
        history: Sequence[EpochRecord],
    ) -> None:
        """As `Tracker.log_trial`, below what `begin_cell` returned."""
        self._record(lambda tracker: tracker.log_trial(parent.result(), index, parameters, metrics, history))

    def log_seed(
        self, parent: Future[str], seed: int, metrics: Mapping[str, float], history: Sequence[EpochRecord]
    ) -> None:
        """As `Tracker.log_seed`, below what `begin_cell` returned."""
        self._record(lambda tracker: tracker.log_seed(parent.result(), seed, metrics, history))

    def publish(self, record: CellRecord) -> None:
        """As `Tracker.publish`."""
        self._record(lambda tracker: tracker.publish(record))

    def __enter__(self) -> "Logbook":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._entries.put(None)
        if error is not None:
            self._given_up.set()
            self._thread.join(FAREWELL_SECONDS)
            return
        self._finish()
        self._raise_failure()

    def _record(self, entry: Entry) -> None:
        self._raise_failure()
        self._entries.put(entry)

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise self._failure

    def _finish(self) -> None:
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
        """Write entries in their order, on the thread, until there are no more."""
        try:
            self._write(lambda tracker: None)
            self._answered.set()
            while not self._given_up.is_set() and (entry := self._entries.get()) is not None:
                self._write(entry)
        except StoreAwayError:
            assert self._given_up.is_set()
        except BaseException as error:
            self._failure = error
        finally:
            self._answered.set()

    def _write(self, entry: Entry) -> None:
        until_back(lambda: entry(self._opened()), self._pause)
        self._away.clear()

    def _opened(self) -> Tracker:
        if self._tracker is None:
            self._tracker = Tracker(self._config, self._code)
        return self._tracker

    def _pause(self, seconds: float) -> bool:
        self._away.set()
        self._answered.set()
        return not self._given_up.wait(seconds)
