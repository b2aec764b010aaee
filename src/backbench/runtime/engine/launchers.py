"""What starts workers: processes on this machine, jobs of SLURM, or a shell line of the user's."""

import os
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

from backbench.runtime.engine.slurm_queue import SlurmQueue
from backbench.runtime.engine.workers import WORKER, Workers
from backbench.runtime.errors import WorkerError

LEAVING_SECONDS = 30.0
MODULE = "backbench.runtime.engine.worker"
SLURM_CONF = "SLURM_CONF"
SLURM_SAYS = ("srun: ", "slurmstepd")
JOBS, SUBMISSION = "jobs", "_submission.sh"
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
    """Return the last line of a worker's log, not of SLURM's in it, cut off where it is long."""
    said = log.read_text(encoding="utf-8", errors="replace").splitlines() if log.is_file() else []
    its_own = [line for line in said if line.strip() and not line.startswith(SLURM_SAYS)]
    return its_own[-1].strip()[:200] if its_own else "without a word"


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
        from submitit import SlurmExecutor

        self._folder, self._queue = folder, SlurmQueue()
        # A site may not hand the environment on to jobs.
        setup = [f"export PYTHONPATH={shlex.quote(os.environ.get('PYTHONPATH', ''))}", *(options.get("setup") or ())]
        given = {name: value for name, value in options.items() if value is not None and name not in OWN_OPTIONS}
        try:
            self._executor = SlurmExecutor(folder / JOBS, max_num_timeout=options.get("max_num_timeout", 20))
            self._executor.update_parameters(setup=setup, **given)
        except (RuntimeError, ValueError) as error:
            raise WorkerError(
                f"expected a SLURM and options that it knows, found: {str(error).splitlines()[0]}; correct "
                "conf/workers/slurm.yaml, or start this where sbatch is"
            ) from error
        self._cancel_left()

    def _cancel_left(self) -> None:
        """Cancel the jobs of a stage that was killed, which nobody waits for, and remove what is left of them."""
        left = [file.name.removesuffix(SUBMISSION) for file in (self._folder / JOBS).glob(f"[0-9]*{SUBMISSION}")]
        if left:
            subprocess.run(["scancel", "--quiet", f"--name={self._job_name()}", *left], check=False)
        shutil.rmtree(self._folder / JOBS, ignore_errors=True)

    def _job_name(self) -> str:
        return str(self._executor.parameters.get("job_name", "submitit"))

    def __call__(self, numbers: Sequence[int]) -> Sequence[Started]:
        from submitit.core.utils import FailedJobError, FailedSubmissionError
        from submitit.helpers import clean_env

        # A stage may run in a job itself: what that job's environment says of its nodes holds for no other. But where
        # SLURM is found holds for all.
        configuration = {name: os.environ[name] for name in (SLURM_CONF,) if name in os.environ}
        try:
            with clean_env():
                os.environ.update(configuration)
                jobs = self._executor.submit_array([SlurmWorker(self._folder, number) for number in numbers])
        except (FailedJobError, FailedSubmissionError, OSError) as error:
            raise WorkerError(f"expected sbatch to take {len(numbers)} jobs, found: {error}") from error
        self._queue.forget()
        return [SlurmJob(number, job, self._queue) for number, job in zip(numbers, jobs, strict=True)]


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

    def __init__(self, number: int, job: Any, queue: SlurmQueue) -> None:
        self.number, self._job, self._queue = number, job, queue

    def how_it_ended(self) -> str | None:
        state, log = self._queue.how_it_ended(self._job.job_id), self._job.paths.stderr
        return state and f"as {state} ({last_line(log)}); look into {log}"

    def end(self) -> None:
        """Cancel it, whether it waits in the queue or runs."""
        subprocess.run(["scancel", "--quiet", self._job.job_id], check=False)
