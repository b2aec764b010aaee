"""Times that no machine took: a clock that stands still unless a test lets time pass, and what stages would say."""

import pytest

from backbench.results.compute import EMBED, SWEEP, TRAIN, Compute, write_compute
from backbench.results.store_record import DESCRIPTION
from backbench.runtime.atomic_files import write_text
from backbench.runtime.paths import Cell


class Clock:
    """Called, it says how many seconds have passed."""

    def __init__(self) -> None:
        self._now = 0.0

    def __call__(self) -> float:
        return self._now

    def passes(self, seconds: float) -> None:
        """Let time pass."""
        self._now += seconds


def stopped(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Put a clock that stands still in the place of the one that computing is measured by."""
    clock = Clock()
    monkeypatch.setattr("backbench.results.compute.monotonic", clock)
    return clock


def computed(stage: str, cell: Cell, seconds: float, *, peak_memory_bytes: int = 1, machine: str = "A") -> None:
    """Say that the result of a stage took so much; where there is no result, an empty one is made."""
    result = {EMBED: cell.activations / DESCRIPTION, SWEEP: cell.best, TRAIN: cell.metrics}[stage]
    if not result.exists():
        write_text(result, "")
    write_compute(stage, cell, Compute(seconds, peak_memory_bytes, (machine,)))
