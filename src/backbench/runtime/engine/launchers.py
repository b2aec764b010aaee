"""What starts workers: processes on this machine, jobs of SLURM, or a shell line of the user's."""

import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

from backbench.runtime.engine.workers import WORKER, Workers
from backbench.runtime.errors import WorkerError

LEAVING_SECONDS = 30.0
MODULE = "backbench.runtime.engine.worker"
SLURM_CONF = "SLURM_CONF"
OWN_OPTIONS = ("setup", "max_num_timeout")


class Started(Protocol):
    """A worker that was started, or waits for its turn in a queue.

    Where `is_told_by_connection`, only the scheduler sees that it has ended.
    """

    number: int
    is_told_by_connection: bool

    def how_it_ended(self) -> str | None:
        """Say how it ended; None where it has not, or where that cannot be known."""
        ...

    def end(self) -> None:
        """Have it end: in good order, if that does not take long."""
        ...


class Launcher(Protocol):
    """Starts workers with these numbers."""

    def __call__(self, numbers: Sequence[int]) -> Sequence[Started]: ...


def launcher_of(workers: Workers, folder: Path) -> Launcher:
    """Return what starts workers that connect to the scheduler of `folder`, where their logs are too."""
    if workers.launcher == "slurm":
        return SlurmLauncher(folder, workers.slurm)
    return ShellLauncher(folder, workers.submit or f"exec {WORKER}", submits=workers.launcher == "queue")


def last_line(log: Path) -> str:
    """Return the last line of a worker's log, cut off where it is long."""
    said = log.read_text(encoding="utf-8", errors="replace").strip().splitlines() if log.is_file() else []
    return said[-1][:200] if said else "without a word"


class ShellLauncher:
    """Runs a shell line for every worker, which is the worker itself, or submits it to a batch system."""

    def __init__(self, folder: Path, line: str, *, submits: bool) -> None:
        self._folder, self._line, self._submits = folder, line, submits

    def __call__(self, numbers: Sequence[int]) -> Sequence[Started]:
        return [ShellJob(self._folder, number, self._line, submits=self._submits) for number in numbers]


class ShellJob:
    """A shell line in a session of its own: Ctrl-C reaches the stage alone."""

    def __init__(self, folder: Path, number: int, line: str, *, submits: bool) -> None:
        self.number, self._log, self.is_told_by_connection = number, folder / f"worker-{number}.log", submits
        worker = shlex.join([sys.executable, "-m", MODULE, str(folder), str(number)])
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                line.replace(WORKER, worker),
                shell=True,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def how_it_ended(self) -> str | None:
        code = self._process.poll()
        if code is None or (code == 0 and self.is_told_by_connection):
            return None
        return f"with code {code} ({last_line(self._log)}); look into {self._log}"

    def end(self) -> None:
        self._signal(signal.SIGTERM)  # or one that has not connected yet would go on trying to
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(LEAVING_SECONDS)
        self._signal(signal.SIGKILL)  # also to a child process whose worker was killed
        self._process.wait()

    def _signal(self, number: signal.Signals) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, number)


class SlurmLauncher:
    """Submits jobs of one array through submitit; `options` are those of its SLURM executor."""

    def __init__(self, folder: Path, options: Mapping[str, Any]) -> None:
        from submitit import AutoExecutor

        self._folder = folder
        # A site may not hand the environment on to jobs.
        setup = [f"export PYTHONPATH={shlex.quote(os.environ.get('PYTHONPATH', ''))}", *options.get("setup", [])]
        given = {name: value for name, value in options.items() if value is not None and name not in OWN_OPTIONS}
        try:
            self._executor = AutoExecutor(
                folder / "jobs", cluster="slurm", slurm_max_num_timeout=options.get("max_num_timeout", 20)
            )
            self._executor.update_parameters(
                slurm_setup=setup, **{f"slurm_{name}": value for name, value in given.items()}
            )
        except (RuntimeError, NameError, ValueError) as error:
            raise WorkerError(
                f"expected a SLURM and options that it knows, found: {error}; correct conf/workers/slurm.yaml, or "
                "start this where sbatch is"
            ) from error

    def __call__(self, numbers: Sequence[int]) -> Sequence[Started]:
        from submitit.core.utils import FailedJobError
        from submitit.helpers import clean_env

        try:
            # A stage may run in a job itself: what that job's environment says of its nodes holds for no other. But
            # where SLURM is found holds for all.
            configuration = {name: os.environ[name] for name in (SLURM_CONF,) if name in os.environ}
            with clean_env():
                os.environ.update(configuration)
                with self._executor.batch():
                    jobs = [self._executor.submit(SlurmWorker(self._folder, number)) for number in numbers]
        except FailedJobError as error:
            raise WorkerError(f"expected sbatch to take {len(numbers)} jobs, found: {error}") from error
        return [SlurmJob(self._folder, number, job) for number, job in zip(numbers, jobs, strict=True)]


class SlurmWorker:
    """What a job runs; submitit puts it back into the queue before its time limit."""

    def __init__(self, folder: Path, number: int) -> None:
        self._folder, self._number = folder, number

    def __call__(self) -> None:
        from backbench.runtime.engine.worker import work

        work(self._folder, self._number)

    def checkpoint(self) -> Any:
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self)


class SlurmJob:
    """A job that was submitted."""

    is_told_by_connection = False

    def __init__(self, folder: Path, number: int, job: Any) -> None:
        self.number, self._job = number, job

    def how_it_ended(self) -> str | None:
        if not self._job.done():
            return None
        log = self._job.paths.stderr
        return f"as {self._job.state} ({last_line(log)}); look into {log}"

    def end(self) -> None:
        try:
            self._job.cancel(check=False)
        except OSError:
            return
