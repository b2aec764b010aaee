"""What a cell costs where it was measured; each figure is None where it was not measured here."""

from collections.abc import Iterable
from dataclasses import dataclass

from backbench.artifacts import Cell


@dataclass(frozen=True)
class MeasuredCost:
    """What a cell took on a machine.

    Latency is of one image and throughput of batches, through the backbone; `peak_memory_bytes` is the largest resident
    set of embed, sweep and train; seconds are their wall times. `machine` names where all of it was measured, `device`
    what latency and throughput were computed on, and `threads` with how many.
    """

    latency_p50_ms: float | None
    latency_p95_ms: float | None
    throughput_images_per_second: float | None
    peak_memory_bytes: int | None
    embed_seconds: float | None
    search_seconds: float | None
    training_seconds: float | None
    machine: str | None
    device: str | None
    threads: int | None


def read_costs(cells: Iterable[Cell]) -> dict[Cell, MeasuredCost]:
    """Read what was measured of each cell in the working folder: nothing yet."""
    return {}
