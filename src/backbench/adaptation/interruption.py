"""Leaving a fit at the end of an epoch and going on later: who asks for it, and the file that it takes."""

import signal
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, Self

import numpy as np

from backbench.data.arrays.file_formats import write_arrays

# What a scheduler sends before it takes a machine away; submitit asks SLURM for SIGUSR2.
STOP_SIGNALS = (signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2)


class Interrupted(Exception):  # noqa: N818 - it is no error: all that was done is kept
    """A fit left at the end of an epoch because it was asked to, and has saved what it needs to go on."""


class StopSignals:
    """Within it, SIGTERM, SIGUSR1 and SIGUSR2 only ask this process to leave; afterwards they do what they did before.

    Python lets only the main thread of a process set what its signals do. Who has left can let the handler of before
    have its signal after all: `signal.raise_signal(signals.received)`.
    """

    def __init__(self) -> None:
        self.received: signal.Signals | None = None
        self._before: dict[signal.Signals, Any] = {}

    def came(self) -> bool:
        """Say whether one of the signals has come."""
        return self.received is not None

    def __enter__(self) -> Self:
        self._before = {number: signal.signal(number, self._note) for number in STOP_SIGNALS}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.received = signal.Signals(number)


@dataclass(frozen=True)
class Pause:
    """Where fits save what they need to go on, a file each, and whether they are asked to leave.

    A fit names its file by all that decides its outcome, so that it never goes on from another's. `is_asked` is asked
    at the end of every epoch, such as `StopSignals.came`.
    """

    folder: Path
    is_asked: Callable[[], bool]

    def read(self, name: str) -> dict[str, np.ndarray] | None:
        """Return what the fit of that name saved; None where there is nothing, or nothing whole."""
        try:
            # NumPy leaves a file that is no whole archive open, where it has opened it.
            with self._file(name).open("rb") as file, np.load(file, allow_pickle=False) as arrays:
                return dict(arrays)
        except (OSError, EOFError, ValueError, zipfile.BadZipFile):
            return None

    def write(self, name: str, arrays: Mapping[str, np.ndarray]) -> None:
        """Save what the fit of that name needs to go on, in place of what it saved before."""
        write_arrays(self._file(name), arrays)

    def remove(self, name: str) -> None:
        """Remove what the fit of that name saved, if it did."""
        self._file(name).unlink(missing_ok=True)

    def _file(self, name: str) -> Path:
        return self.folder / f"{name}.npz"
