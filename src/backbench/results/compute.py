"""What the result of a stage took to compute, added up over all processes and machines that took part.

A second counts in which a process works on what the result is made of: it builds and traces a network, reads, trains,
predicts, evaluates, and writes what it keeps. That is the rows that embed wrote, the batches of trials of a study, and
the seeds of the final models, each once and in whichever process: one that was interrupted, an earlier sweep whose
trials are taken up, a worker on another machine. What embed and train do once for all rows or seeds counts as it took
the process that finished. Seconds are those of a clock: other work makes a machine slow.

One pass of embed is for all cells of a backbone. Each has an equal share of its seconds, so that cells add up to what
was computed; alone, a cell would take nearly the whole.

It does not count while a process starts and imports, or waits: for the writer's lock, for MLflow, for a storage that is
away, for workers or for work. Nor does what was lost when a process was killed: it is no part of the result.

Seconds lie in `work/`, outside of everything that DVC hashes, each with the digest of the result that they are of:
where DVC brings back another one, they are not known.
"""

from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path
from time import monotonic

from pydantic import TypeAdapter

from backbench.data.arrays.file_formats import write_json
from backbench.results.store_record import DESCRIPTION
from backbench.runtime import paths
from backbench.runtime.digests import file_sha256
from backbench.runtime.hardware import machine_name, peak_memory_bytes
from backbench.runtime.known_files import known_json
from backbench.runtime.paths import Cell

STAGES = EMBED, SWEEP, TRAIN = "embed", "sweep", "train"


@dataclass(frozen=True)
class Compute:
    """Seconds of all who computed, the largest resident set of any of them, and the names of their machines."""

    seconds: float
    peak_memory_bytes: int
    machines: tuple[str, ...]

    def __add__(self, other: "Compute") -> "Compute":
        return Compute(
            self.seconds + other.seconds,
            max(self.peak_memory_bytes, other.peak_memory_bytes),
            tuple(dict.fromkeys([*self.machines, *other.machines])),
        )

    def share_of(self, number: int) -> "Compute":
        """Return an equal share of the seconds, for one of so many that it was for."""
        return replace(self, seconds=self.seconds / number)


NOTHING = Compute(0.0, 0, ())


# Reads what `asdict` and JSON spelt.
compute_of = TypeAdapter(Compute).validate_python


def left_before(file: Path) -> Compute:
    """Return what those took who left some work before its end, as they added it to a file; nothing without one."""
    return compute_of(known_json(file) or asdict(NOTHING))


def add_left(file: Path, compute: Compute) -> None:
    """Add what somebody took who leaves some work before its end."""
    write_json(file, asdict(left_before(file) + compute))


class Stopwatch:
    """Measures what this process computes, lap by lap; the first begins now."""

    def __init__(self) -> None:
        self._since = monotonic()

    def lap(self) -> Compute:
        """Return what was computed since the last lap."""
        since, self._since = self._since, monotonic()
        return Compute(self._since - since, peak_memory_bytes(), (this_machine(),))


@cache
def this_machine() -> str:
    """Name the machine, which is asked for its GPUs once."""
    return machine_name()


def write_compute(stage: str, cell: Cell, compute: Compute | None) -> None:
    """Say what the result of a cell's stage took, once it is written; None where a part of it is not known."""
    if compute is None:
        paths.compute(stage, cell).unlink(missing_ok=True)
        return
    digest = file_sha256(_result(stage, cell))
    write_json(paths.compute(stage, cell), {**asdict(compute), "result": digest})


def read_compute(stage: str, cell: Cell) -> Compute | None:
    """Return what the result that is there took; None where that is not known here."""
    stored, result = known_json(paths.compute(stage, cell)), _result(stage, cell)
    if not result.is_file() or stored.get("result") != file_sha256(result):
        return None
    return compute_of(stored)


def _result(stage: str, cell: Cell) -> Path:
    """Return the file by which the result of a stage is known."""
    return {EMBED: cell.activations / DESCRIPTION, SWEEP: cell.best, TRAIN: cell.metrics}[stage]
