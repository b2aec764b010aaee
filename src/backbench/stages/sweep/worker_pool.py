"""Who runs a cell's trials while the sweep stage waits: this process, workers that it starts, or somebody else's."""

import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from backbench.adaptation.interruption import Interrupted, StopSignals
from backbench.config.running_config import WorkersConfig
from backbench.runtime import paths
from backbench.runtime.installation import CONF
from backbench.runtime.paths import Cell
from backbench.runtime.web_address import without_secrets
from backbench.search.study_storage import StudyError
from backbench.search.worker import Worker

POLL_SECONDS = 0.5
LEAVING_SECONDS = 15.0
MOST_FRUITLESS_STARTS = 3

# Called while trials wait or run, and told how many are finished.
Wait = Callable[[int], None]


def worker_command(workers: WorkersConfig, overrides: Sequence[str], logs: Path) -> list[str]:
    """Spell what starts all workers through Hydra's launcher; where none is named, what starts one."""
    program = [sys.executable, str(Path(CONF).with_name("pipelines") / "worker.py")]
    if workers.launcher is None:
        return [*program, *overrides, "worker=0"]
    launcher = [f"hydra/launcher={workers.launcher}", f"hydra.sweep.dir={logs}"]
    return [*program, "--multirun", *overrides, *launcher, f"worker=range({workers.num_workers})"]


@contextmanager
def worker_pool(
    cell: Cell, workers: WorkersConfig, overrides: Sequence[str], own_worker: Callable[[Callable[[], bool]], Worker]
) -> Iterator[Wait]:
    """Yield what the coordinating process does while trials wait or run; a signal to stop ends it between two calls.

    Args:
        cell: Names the folder of the workers' logs.
        workers: How many there are, and what starts them.
        overrides: Hydra's, of this process: workers get the same.
        own_worker: Makes a worker in this process, where it is the only one, given what says that it should leave.

    Raises:
        StudyError: workers that were started end again and again without finishing a trial.
    """
    with StopSignals() as signals:
        try:
            with _waiting(cell, workers, overrides, lambda: own_worker(signals.came)) as wait:

                def wait_unless_asked(num_finished: int) -> None:
                    if signals.came():
                        raise Interrupted("between two batches")
                    wait(num_finished)

                yield wait_unless_asked
        except Interrupted:
            print(f"{cell}: was asked to leave; start this again and it goes on where it was", flush=True)
    if signals.received is not None:
        signal.raise_signal(signals.received)
        sys.exit(128 + signals.received)


@contextmanager
def _waiting(
    cell: Cell, workers: WorkersConfig, overrides: Sequence[str], own_worker: Callable[[], Worker]
) -> Iterator[Wait]:
    logs = paths.workers_folder(cell)
    if workers.launcher is not None:
        print(f"{cell}: {workers.num_workers} workers by conf/hydra/launcher/{workers.launcher}.yaml", flush=True)
        print(f"{cell}: their logs are in {logs}", flush=True)
        with _started(_Launched(worker_command(workers, overrides, logs), logs)) as launched:
            yield launched.wait
    elif workers.num_workers > 1:
        command = without_secrets(shlex.join(worker_command(workers, overrides, logs)))
        print(f"{cell}: start {workers.num_workers} workers, each with a number of its own: {command}", flush=True)
        yield lambda num_finished: time.sleep(POLL_SECONDS)
    else:
        worker = own_worker()
        yield lambda num_finished: _run_or_wait(worker)


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
            return subprocess.Popen(
                self._command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
            )

    def wait(self, num_finished: int) -> None:
        if num_finished > self._num_finished:
            self._num_fruitless, self._num_finished = 0, num_finished
        if self._process.poll() is not None:
            self._num_fruitless += 1
            if self._num_fruitless >= MOST_FRUITLESS_STARTS:
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

    def leave(self, patience_seconds: float) -> None:
        """Let workers end by themselves for so long; then ask those on this machine to keep their epochs and leave."""
        try:
            self._process.wait(patience_seconds)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGTERM)
            self._process.wait()


@contextmanager
def _started(launched: _Launched) -> Iterator[_Launched]:
    try:
        yield launched
    except BaseException:
        launched.leave(0)
        raise
    launched.leave(LEAVING_SECONDS)
