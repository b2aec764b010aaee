"""What a cell cost on this machine: latency, throughput, memory, seconds.

The figures lie in `work/`, outside of everything that DVC hashes; each is None where it was not measured here. What is
the same on every machine (parameters, multiply-accumulates, bytes of a model) is in the leaderboard.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from backbench import artifacts
from backbench.artifacts import Cell

STAGES = EMBED, SWEEP, TRAIN = "embed", "sweep", "train"


@dataclass(frozen=True)
class MeasuredCost:
    """What a cell took on a machine.

    Latency is of one image and throughput of batches, through the backbone; `peak_memory_bytes` is the largest resident
    set of embed, sweep and train; seconds are their wall times. `machine` names where all of it was measured, several
    machines parted by semicolons; `device` what latency and throughput were computed on, `CPU` or a GPU's name, and
    `threads` with how many (0: as many as the backend likes).
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
    """Read what was measured of each cell in the working folder; nothing need be there."""
    return {cell: _measured(cell) for cell in cells}


def _measured(cell: Cell) -> MeasuredCost:
    speed = artifacts.known_json(artifacts.cost(cell.backbone))
    spent = {stage: artifacts.known_json(artifacts.timing(f"{stage}-{cell}")) for stage in STAGES}
    peaks = (content.get("peak_memory_bytes") for content in spent.values())
    machines = (content.get("machine") for content in (speed, *spent.values()))
    return MeasuredCost(
        latency_p50_ms=speed.get("latency_p50_ms"),
        latency_p95_ms=speed.get("latency_p95_ms"),
        throughput_images_per_second=speed.get("throughput_images_per_second"),
        peak_memory_bytes=max((peak for peak in peaks if peak is not None), default=None),
        embed_seconds=spent[EMBED].get("wall_seconds"),
        search_seconds=spent[SWEEP].get("wall_seconds"),
        training_seconds=spent[TRAIN].get("wall_seconds"),
        machine="; ".join(dict.fromkeys(name for name in machines if name)) or None,
        device=speed.get("device"),
        threads=speed.get("threads"),
    )
