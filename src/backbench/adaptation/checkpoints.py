"""The files of fits that are not over: what one needs to go on, in this process or another."""

import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from backbench.data.arrays.file_formats import write_arrays
from backbench.runtime.interruption import is_asked_to_leave

HISTORY = "history"


@dataclass(frozen=True)
class Checkpoints:
    """Where fits save what they need to go on, a file each; when, and whether they are asked to leave.

    A fit names its file by all that decides its outcome, so that it never goes on from another's, and its epochs are
    the same in whichever process. So a file is never replaced by one of fewer epochs: a process that was taken for
    dead, and comes back, takes nothing away from the one that went on.
    """

    folder: Path
    is_asked: Callable[[], bool] = is_asked_to_leave
    seconds_between: float = 60.0

    def read(self, name: str) -> dict[str, np.ndarray] | None:
        """Return what the fit of that name saved; None where there is nothing, or nothing whole."""
        try:
            # NumPy leaves a file that is no whole archive open, where it has opened it.
            with self._file(name).open("rb") as file, np.load(file, allow_pickle=False) as arrays:
                return dict(arrays)
        except (OSError, EOFError, ValueError, zipfile.BadZipFile):
            return None

    def write(self, name: str, arrays: Mapping[str, np.ndarray]) -> None:
        """Save what the fit of that name needs to go on, unless what it saved before has as many epochs.

        `arrays` has a row for each epoch in `history`.
        """
        before = self.read(name)
        if before is None or len(before[HISTORY]) < len(arrays[HISTORY]):
            write_arrays(self._file(name), arrays)

    def remove(self, name: str) -> None:
        """Remove what the fit of that name saved, if it did."""
        self._file(name).unlink(missing_ok=True)

    def _file(self, name: str) -> Path:
        return self.folder / f"{name}.npz"
