"""The process that computes a worker's tasks: it imports the network, and ends with the stage's work.

Other work begins in a fresh process, so that no result depends on what a process did before, and a GPU's memory is
really given back. `python -m backbench.runtime.engine.child DESCRIPTOR` is told by its worker what to open and what to
run, as pickles through a pipe, and answers in kind.
"""

import pickle
import signal
import subprocess
import sys
import threading
import traceback
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from queue import SimpleQueue
from typing import Any

from backbench.runtime.errors import BackbenchError, WorkerError
from backbench.runtime.interruption import Interrupted, StopSignals, ask_to_leave

LEAVE = b"leave"
# How a task ended.
DONE, REFUSED, LEFT, DIED = "done", "refused", "left", "died"
Answer = tuple[str, Any]


class Child:
    """A worker's side of the process that computes for it, one for the work of one stage."""

    def __init__(self, session: str, opening: bytes) -> None:
        """Start the process.

        Args:
            session: Names the work of one stage.
            opening: Pickled; makes the object whose methods are the tasks.
        """
        self.session = session
        self._pipe, end = Pipe()
        with end:
            command = [sys.executable, "-m", __spec__.name, str(end.fileno())]
            self._process = subprocess.Popen(command, pass_fds=[end.fileno()], stdin=subprocess.DEVNULL)
        self._send(opening)

    def run(self, task: bytes) -> Answer:
        """Run a pickled task, and say how it ended."""
        self._send(task)
        try:
            answer: Answer = pickle.loads(self._pipe.recv_bytes())
        except (EOFError, OSError):
            return DIED, _how_it_ended(self._process.wait())
        return answer

    def leave(self) -> None:
        """Ask the task in it to leave at its next good place."""
        self._send(LEAVE)

    def end(self) -> None:
        """Wait until the task in it has left, and end the process."""
        self._pipe.close()
        self._process.wait()

    def _send(self, message: bytes) -> None:
        try:
            self._pipe.send_bytes(message)
        except OSError:  # it has ended, as whoever waits for its answer sees
            return


def _how_it_ended(code: int) -> str:
    return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"


def _answer(opened: Any, task: bytes) -> Answer:
    method, *arguments = pickle.loads(task)
    try:
        return DONE, getattr(opened, method)(*arguments)
    except Interrupted:
        return LEFT, None
    except BackbenchError as error:
        return REFUSED, error
    except BaseException as error:  # SystemExit too: a task ends no process
        traceback.print_exc()
        return REFUSED, WorkerError(f"{type(error).__name__}: {error}")


def main(descriptor: int) -> None:
    """Open what the worker says, and run its tasks until it closes the pipe or is no more."""
    pipe = Connection(descriptor)
    inbox: SimpleQueue[bytes | None] = SimpleQueue()

    def listen() -> None:
        try:
            while True:
                message = pipe.recv_bytes()
                if message == LEAVE:
                    ask_to_leave()
                else:
                    inbox.put(message)
        except (EOFError, OSError):
            ask_to_leave()
            inbox.put(None)

    threading.Thread(target=listen, daemon=True).start()
    with StopSignals():
        opened = None
        opening = inbox.get()
        while opening is not None and (task := inbox.get()) is not None:
            if opened is None:
                try:
                    opened = pickle.loads(opening)()
                except BackbenchError as error:
                    _send(pipe, (REFUSED, error))
                    continue
            _send(pipe, _answer(opened, task))


def _send(pipe: Connection, answer: Answer) -> None:
    try:
        pipe.send_bytes(pickle.dumps(answer))
    except OSError:  # the worker is no more; what was computed lies in files
        return


if __name__ == "__main__":
    main(int(sys.argv[1]))
