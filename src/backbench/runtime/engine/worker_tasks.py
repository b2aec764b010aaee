"""What a scheduler has a worker do: run a task in the worker's child process, and ask it to leave.

The child imports the network, and ends with the work of a stage: other work begins in a fresh process, so that no
result depends on what a process did before, and a GPU's memory is really given back. The worker waits for it on a
thread, so that it answers, and leaves, while a task computes.
"""

import pickle
import traceback
from contextlib import suppress
from functools import cache
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import Any

from distributed import Reschedule, Status, Worker

from backbench.runtime.errors import BackbenchError, WorkerError
from backbench.runtime.interruption import Interrupted, StopSignals, is_asked_to_leave

MOST_DEATHS = 3


class Child:
    """The process that computes for a worker, for the work of one stage."""

    def __init__(self, session: str, opening: bytes) -> None:
        """Start it; `opening`, pickled, makes the object whose methods are the tasks of the session."""
        self.session = session
        spawn = get_context("spawn")
        self._tasks, theirs = spawn.Pipe()
        self._process = spawn.Process(target=_compute_all, args=(opening, theirs))
        self._process.start()
        theirs.close()

    def run(self, task: bytes) -> Any:
        """Return a task's record, or raise its error; EOFError or OSError where the process is dead."""
        self._tasks.send_bytes(task)
        record, error = self._tasks.recv()
        if error is not None:
            raise error
        return record

    def ask(self) -> None:
        """Ask the task in it to leave at its next good place."""
        self._process.terminate()  # it only notes the signal

    def end(self) -> None:
        """Wait until the task in it has ended, and end the process."""
        with suppress(OSError):  # it is dead
            self._tasks.send_bytes(b"")
        self._process.join()


_children: list[Child] = []  # of this worker: one at most


def compute(session: str, opening: bytes, task: bytes) -> Any:
    """Run a pickled task in this worker's child process, and return its record.

    Raises:
        Reschedule: the task has left because this worker is about to, or the signal that this worker was sent has
            ended the child process before it minded any; it goes on at another.
        Interrupted: the task has left because it was asked to.
        WorkerError: its process dies again and again, or it raised what is no BackbenchError.
        BackbenchError: as the task raised it.
    """
    for _ in range(MOST_DEATHS):
        if _children and _children[0].session != session:
            end()
        if not _children:
            _children.append(Child(session, opening))
        if is_asked_to_leave():
            ask()
        try:
            return _children[0].run(task)
        except (Interrupted, EOFError, OSError) as error:
            end()  # what was asked to leave leaves again
            if is_asked_to_leave():
                raise Reschedule from error
            if isinstance(error, Interrupted):
                raise
            print("the process that computes died; its task is run again", flush=True)
    raise WorkerError(deadly("the process", MOST_DEATHS))


def deadly(who: str, times: int) -> str:
    """Say that a task kills what runs it."""
    return (
        f"expected it to end, found {times} times {who} dead that runs it; look into the workers' logs for what kills "
        "it, which often is memory"
    )


def ask(session: str | None = None) -> None:
    """Ask the task in the child process to leave at its next good place; with `session`, only one of it."""
    for child in _children:
        if session in (None, child.session):
            child.ask()


def pause(dask_worker: Worker) -> None:
    """Have this worker take no more tasks; that at hand is then asked to leave (`worker.py`)."""
    dask_worker.status = Status.paused


def end() -> None:
    """Wait until the task in the child process has left, and end it."""
    while _children:
        _children.pop().end()


def _compute_all(opening: bytes, tasks: Connection) -> None:
    """Run in the child process: compute tasks until told to end, or the worker is no more."""
    # SLURM sends signals to every process of a job.
    with StopSignals(), suppress(EOFError, OSError):
        while task := tasks.recv_bytes():
            tasks.send_bytes(_answer(opening, task))


def _answer(opening: bytes, task: bytes) -> bytes:
    """Return a task's record and error, one of them None, pickled."""
    try:
        method, *arguments = pickle.loads(task)
        return pickle.dumps((getattr(_opened(opening), method)(*arguments), None))
    except (BackbenchError, Interrupted) as error:
        return pickle.dumps((None, error))
    except BaseException as error:  # SystemExit too: a task ends no process
        traceback.print_exc()
        return pickle.dumps((None, WorkerError(f"{type(error).__name__}: {error}; the workers' logs say where")))


@cache
def _opened(opening: bytes) -> Any:
    return pickle.loads(opening)()
