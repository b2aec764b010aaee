"""What a scheduler has a worker do: run a task in the worker's child process, and ask it to leave.

The child imports the network, and ends with the work of a stage: other work begins in a fresh process, so that no
result depends on what a process did before, and a GPU's memory is really given back. The worker waits for it on a
thread, so that it answers, and leaves, while a task computes.
"""

import os
import pickle
import threading
import traceback
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import Any

from distributed import Reschedule, Status, Worker

from backbench.runtime.errors import BackbenchError
from backbench.runtime.interruption import Interrupted, StopSignals, ask_to_leave, is_asked_to_leave

# How a task ended; with the first comes its record, with the others what is to be said of it.
DONE, REFUSED, FAILED, DIED, LEFT = "done", "refused", "failed", "died", "left"
Answer = tuple[str, Any]


class Child:
    """The process that computes for a worker, for the work of one stage."""

    def __init__(self, session: str, opening: bytes) -> None:
        """Start it; `opening`, pickled, makes the object whose methods are the tasks of the session."""
        self.session = session
        spawn = get_context("spawn")
        # A pipe, for an event waits for whoever waits for it, and that process may be killed.
        asked, self._asks = spawn.Pipe(duplex=False)
        self._pool = ProcessPoolExecutor(1, spawn, _begin, (opening, asked))

    def run(self, task: bytes) -> Answer:
        try:
            return self._pool.submit(_run, task).result()
        except BrokenProcessPool:
            return DIED, None

    def ask(self) -> None:
        """Ask the task in it to leave at its next good place."""
        with suppress(OSError):  # it is being ended
            self._asks.send_bytes(b"leave")

    def end(self) -> None:
        """Wait until the task in it has ended, and end the process."""
        self._pool.shutdown()
        self._asks.close()


_children: list[Child] = []  # of this worker: one at most


def compute(session: str, opening: bytes, task: bytes) -> Answer:
    """Run a pickled task in this worker's child process.

    Raises:
        Reschedule: the task has left because this worker is about to, or the signal that this worker was sent has
            ended the child process before it minded any; it goes on at another.
    """
    if _children and _children[0].session != session:
        end()
    if not _children:
        _children.append(Child(session, opening))
    if is_asked_to_leave():
        ask()
    answer = _children[0].run(task)
    if answer[0] in (DIED, LEFT):
        end()  # what was asked to leave leaves again
    if answer[0] in (DIED, LEFT) and is_asked_to_leave():
        raise Reschedule
    return answer


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


# What follows runs in the child process.
_opening: list[bytes] = []
_opened: list[Any] = []
_computing = threading.Lock()


def _begin(opening: bytes, asked: Connection) -> None:
    StopSignals().__enter__()  # SLURM sends signals to every process of a job
    _opening.append(opening)
    threading.Thread(target=_watch, args=(asked,), daemon=True).start()


def _watch(asked: Connection) -> None:
    """Leave when the worker asks to, and when it is no more."""
    with suppress(EOFError):
        while asked.recv_bytes():
            ask_to_leave()
    ask_to_leave()
    with _computing:
        os._exit(1)


def _run(task: bytes) -> Answer:
    with _computing:
        try:
            if not _opened:
                _opened.append(pickle.loads(_opening[0])())
            method, *arguments = pickle.loads(task)
            return DONE, getattr(_opened[0], method)(*arguments)
        except Interrupted:
            return LEFT, None
        except BackbenchError as error:
            return REFUSED, error
        except BaseException as error:  # SystemExit too: a task ends no process
            traceback.print_exc()
            return FAILED, f"{type(error).__name__}: {error}"
