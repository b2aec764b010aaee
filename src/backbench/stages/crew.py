"""Who runs a cell's trials while the sweep stage waits: this process, workers that it starts, or somebody else's."""

import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from backbench import artifacts
from backbench.artifacts import Cell
from backbench.config import WorkersConfig
from backbench.interruption import Interrupted, StopSignals
from backbench.study_storage import StudyError
from backbench.worker import Worker

POLL_SECONDS = 0.5
LEAVING_SECONDS = 15.0
MOST_FRUITLESS_STARTS = 3

# Spells the command that starts workers, given the folder for their logs.
Command = Callable[[Path], list[str]]
# Called while trials wait or run, and told how many are finished.
Wait = Callable[[int], None]


@contextmanager
def crew(
    cell: Cell, workers: WorkersConfig, command: Command | None, own_worker: Callable[[Callable[[], bool]], Worker]
) -> Iterator[Wait]:
    """Yield what the coordinating process does while trials wait or run.

    Args:
        cell: Names the folder of the workers' logs.
        workers: How many there are, and what starts them.
        command: Spells what starts the workers.
        own_worker: Makes a worker in this process, where it is the only one, given what says that it should leave.

    Raises:
        StudyError: workers that were started end again and again without finishing a trial.
    """
    logs = artifacts.workers_folder(cell)
    if command is None or (workers.num_workers == 1 and workers.launcher is None):
        with StopSignals() as signals:
            worker = own_worker(signals.came)
            try:
                yield lambda num_finished: _run_or_wait(worker)
            except Interrupted:
                print(f"{cell}: was asked to leave, and kept its epochs; start this again and it goes on", flush=True)
        if signals.received is not None:
            signal.raise_signal(signals.received)
            sys.exit(128 + signals.received)
    elif workers.launcher is None:
        print(f"{cell}: start {workers.num_workers} workers: {shlex.join(command(logs))}", flush=True)
        yield lambda num_finished: time.sleep(POLL_SECONDS)
    else:
        print(f"{cell}: {workers.num_workers} workers by conf/hydra/launcher/{workers.launcher}.yaml", flush=True)
        print(f"{cell}: their logs are in {logs}", flush=True)
        with _started(_Launched(command(logs), logs)) as launched:
            yield launched.wait


def _run_or_wait(worker: Worker) -> None:
    # Where nothing waits, an earlier process's worker is still at it.
    if not worker.run_next():
        time.sleep(POLL_SECONDS)


class _Launched:
    """Workers that a Hydra launcher starts, and starts again where all have ended and trials are left."""

    def __init__(self, command: list[str], logs: Path) -> None:
        self._command, self._log = command, logs / "launcher.log"
        self._num_fruitless, self._num_finished = 0, 0
        logs.mkdir(parents=True, exist_ok=True)
        self._process = self._start()

    def _start(self) -> subprocess.Popen[bytes]:
        with self._log.open("ab") as log:
            return subprocess.Popen(self._command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT)

    def wait(self, num_finished: int) -> None:
        if num_finished > self._num_finished:
            self._num_fruitless, self._num_finished = 0, num_finished
        if self._process.poll() is not None:
            self._num_fruitless += 1
            if self._num_fruitless > MOST_FRUITLESS_STARTS:
                raise StudyError(
                    f"expected workers to finish trials, found that all ended {MOST_FRUITLESS_STARTS} times without "
                    f"one, the last time with code {self._process.returncode} ({self._last_line()}); "
                    f"look into {self._log} and beside it"
                )
            self._process = self._start()
        time.sleep(POLL_SECONDS)

    def _last_line(self) -> str:
        said = self._log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        return said[-1][:200] if said else "without a word"

    def leave(self) -> None:
        """Let the launcher see its workers end, and end it where it does not."""
        try:
            self._process.wait(LEAVING_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.terminate()
            self._process.wait()


@contextmanager
def _started(launched: _Launched) -> Iterator[_Launched]:
    try:
        yield launched
    finally:
        launched.leave()
