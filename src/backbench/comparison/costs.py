"""What a cell cost on this machine: latency, throughput, memory, seconds.

The figures lie in `work/`, outside of everything that DVC hashes; each is None where it was not measured here. What is
the same on every machine (parameters, multiply-accumulates, bytes of a model) is in the leaderboard.
"""

from dataclasses import dataclass
from itertools import chain

from backbench.results.compute import EMBED, STAGES, SWEEP, TRAIN, Compute, read_compute
from backbench.runtime import paths
from backbench.runtime.known_files import known_json
from backbench.runtime.paths import Cell


@dataclass(frozen=True)
class MeasuredCost:
    """What a cell took on a machine, or on several.

    Latency is of one image and throughput of batches, through the backbone; `peak_memory_bytes` is the largest resident
    set of any process that computed in embed, sweep and train; seconds are of their computing, as `compute.py` counts
    it. `machine` names where all of it was measured, several machines parted by semicolons; `device` what latency and
    throughput were computed on, `CPU` or a GPU's name, and `threads` with how many (0: as many as the backend likes).
    """

    latency_p50_ms: float | None = None
    latency_p95_ms: float | None = None
    throughput_images_per_second: float | None = None
    peak_memory_bytes: int | None = None
    embed_seconds: float | None = None
    search_seconds: float | None = None
    training_seconds: float | None = None
    machine: str | None = None
    device: str | None = None
    threads: int | None = None

    @property
    def search_and_training_seconds(self) -> float | None:
        """What both took together to compute; None where one of them is not known."""
        if self.search_seconds is None or self.training_seconds is None:
            return None
        return self.search_seconds + self.training_seconds


def measured_cost(cell: Cell) -> MeasuredCost:
    """Read what was measured of a cell in the working folder; nothing need be there."""
    speed = known_json(paths.cost(cell.backbone))
    took = {stage: read_compute(stage, cell) for stage in STAGES}
    known = [compute for compute in took.values() if compute is not None]
    machines = [speed.get("machine"), *chain.from_iterable(compute.machines for compute in known)]
    return MeasuredCost(
        latency_p50_ms=speed.get("latency_p50_ms"),
        latency_p95_ms=speed.get("latency_p95_ms"),
        throughput_images_per_second=speed.get("throughput_images_per_second"),
        peak_memory_bytes=max((compute.peak_memory_bytes for compute in known), default=None),
        embed_seconds=_seconds(took[EMBED]),
        search_seconds=_seconds(took[SWEEP]),
        training_seconds=_seconds(took[TRAIN]),
        machine="; ".join(dict.fromkeys(name for name in machines if name)) or None,
        device=speed.get("device"),
        threads=speed.get("threads"),
    )


def _seconds(compute: Compute | None) -> float | None:
    return None if compute is None else compute.seconds
