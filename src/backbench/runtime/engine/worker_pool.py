"""Keeping as many workers alive as a stage wants, each by a command that ends when its worker does."""

import os
import shlex
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Collection
from contextlib import suppress
from itertools import chain
from pathlib import Path
from types import TracebackType
from typing import Self

from backbench.runtime.engine.workers import WORKER, Workers
from backbench.runtime.errors import WorkerError

MODULE = "backbench.runtime.engine.worker"
MOST_FRUITLESS_STARTS = 3
LEAVING_SECONDS = 30.0
ENDING_SECONDS = 10.0
# What SLURM says to a job holds for no job that is started there; where SLURM is found holds for all.
OF_A_JOB, SLURM_CONF = ("SLURM", "SBATCH_", "SRUN_", "PMI"), "SLURM_CONF"
SLURM_SAYS = ("srun: ", "slurmstepd")


class WorkerPool:
    """Workers of one scheduler, each with a number of its own; on leaving the context, all are ended."""

    def __init__(self, title: str, workers: Workers, folder: Path) -> None:
        """Start none yet.

        Args:
            title: Of the work, for what is said of it.
            workers: How they are started, and how many at most; without `start`, somebody else starts them.
            folder: Of the scheduler's address and certificate; the workers' logs go there.
        """
        self._title, self._workers, self._folder = title, workers, folder
        self._num_workers = workers.num_workers if workers.start else 0
        self._num_asked = 0
        self._alive: dict[int, subprocess.Popen[bytes]] = {}
        self._connected: set[int] = set()
        self._fruitless: Counter[int] = Counter()  # starts in a row

    def __enter__(self) -> Self:
        return self

    def keep(self, connected: Collection[int], num_tasks: int) -> None:
        """Have as many workers as there are tasks, so many at most; start again what has ended.

        Args:
            connected: The numbers of the workers that the scheduler knows now.
            num_tasks: How many tasks are left.

        Raises:
            WorkerError: workers end, again and again, before they have connected.
        """
        self._connected |= self._alive.keys() & set(connected)
        ended = {number: process for number, process in self._alive.items() if process.poll() is not None}
        for number, process in ended.items():
            del self._alive[number]
            if number in self._connected:
                self._connected.remove(number)
                self._fruitless[number] = 0
                continue
            self._fruitless[number] += 1
            if not self._alive and self._fruitless.total() >= MOST_FRUITLESS_STARTS:
                log = self._log(number)
                raise WorkerError(
                    f"expected workers to connect, found that {self._fruitless.total()} ended before they did, the "
                    f"last with code {process.returncode} ({last_line(log)}); look into {log}"
                )
        wanted = min(self._num_workers, num_tasks)
        if wanted > self._num_asked:
            print(f"{self._title}: asks for {wanted} workers; their logs are in {self._folder}", flush=True)
            self._num_asked = wanted
        tried = [number for number in range(self._num_workers) if self._fruitless[number] < MOST_FRUITLESS_STARTS]
        for number in [number for number in tried if number not in self._alive][: max(0, wanted - len(self._alive))]:
            self._alive[number] = self._started(number)

    def _started(self, number: int) -> "subprocess.Popen[bytes]":
        """Start a worker in a session of its own, so that Ctrl-C reaches the stage alone."""
        worker = [sys.executable, "-m", MODULE, str(self._folder.resolve()), str(number)]
        command = command_of(str(self._workers.start), worker)
        environment = {
            name: value
            for name, value in os.environ.items()
            if "SLURM_JOB_ID" not in os.environ or name == SLURM_CONF or not name.startswith(OF_A_JOB)
        }
        with self._log(number).open("ab") as log:
            try:
                return subprocess.Popen(
                    command,
                    env=environment,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
            except OSError as error:
                raise WorkerError(
                    f"expected a program that starts a worker, found: {error}; correct `start` in "
                    f"conf/workers/{self._workers.name}.yaml, or start this where it is"
                ) from error

    def _log(self, number: int) -> Path:
        return self._folder / f"worker-{number}.log"

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Wait until all have left, as they do when their scheduler ends; end what waits for its turn, or stays."""
        for number, process in self._alive.items():
            if number not in self._connected:
                _send(process, signal.SIGTERM)
        for process in self._alive.values():
            for how, seconds in ((None, LEAVING_SECONDS), (signal.SIGTERM, ENDING_SECONDS)):
                if how is not None and process.poll() is None:
                    _send(process, how)
                with suppress(subprocess.TimeoutExpired):
                    process.wait(seconds)
            _send(process, signal.SIGKILL)  # also to a child process whose worker was killed
            process.wait()


def command_of(start: str, worker: list[str]) -> list[str]:
    """Return the words of a command, the worker's in the place of `{worker}`; in a longer word, quoted for a shell."""
    words = [[word.replace(WORKER, shlex.join(worker))] if word != WORKER else worker for word in shlex.split(start)]
    return list(chain(*words))


def last_line(log: Path) -> str:
    """Return the last line of a worker's log, of SLURM's only where there is no other, cut off where it is long."""
    said = log.read_text(encoding="utf-8", errors="replace").splitlines() if log.is_file() else []
    lines = [line.strip() for line in said if line.strip()]
    its_own = [line for line in lines if not line.startswith(SLURM_SAYS)]
    return (its_own or lines or ["without a word"])[-1][:200]


def _send(process: "subprocess.Popen[bytes]", number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, number)
