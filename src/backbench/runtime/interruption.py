"""Leaving in good order: who asks this process to, and how what computes gets to know."""

import signal
import threading
from multiprocessing import parent_process
from types import FrameType, TracebackType
from typing import Any, Self

# What a scheduler sends before it takes a machine away.
STOP_SIGNALS = (signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2)

_asked = threading.Event()


class Interrupted(Exception):  # noqa: N818 - it is no error: all that was done is kept
    """Work left at a good place because it was asked to, and has saved what it needs to go on."""


def is_asked_to_leave() -> bool:
    """Say whether this process was asked to leave, by a signal, or for the one that it computes for is no more."""
    parent = parent_process()
    return _asked.is_set() or (parent is not None and not parent.is_alive())


class StopSignals:
    """Within it, SIGTERM, SIGUSR1 and SIGUSR2 only ask this process to leave; afterwards they do what they did before.

    Python lets only the main thread of a process set what its signals do. Who has left can let the handler of before
    have its signal after all: `signal.raise_signal(signals.received)`.
    """

    def __init__(self) -> None:
        self.received: signal.Signals | None = None
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        self._before = {number: signal.signal(number, self._note) for number in STOP_SIGNALS}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        _asked.clear()

    def came(self) -> bool:
        """Say whether one of the signals has come."""
        return self.received is not None

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.received = signal.Signals(number)
        _asked.set()
