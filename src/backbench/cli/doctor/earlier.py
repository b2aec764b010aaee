"""What an earlier run of the very same cell took on this machine."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from backbench.cli.doctor.images import Images
from backbench.cli.doctor.plan import cell_of
from backbench.config.config import CellConfig, resolved
from backbench.results.compute import EMBED, SWEEP, TRAIN, read_compute
from backbench.results.fingerprints import fingerprint
from backbench.results.records import BestRecord
from backbench.results.result_files import read_best, read_metrics
from backbench.runtime import paths
from backbench.runtime.errors import BackbenchError
from backbench.runtime.installation import backend
from backbench.runtime.known_files import known_json


@dataclass(frozen=True)
class EarlierRun:
    """Seconds of computing by stage, for the stages that ran; bytes are None where nothing was measured."""

    seconds: Mapping[str, float] = field(default_factory=dict)
    peak_memory_bytes: int | None = None
    activation_bytes: int | None = None


def earlier_run(config: CellConfig, images: Images) -> EarlierRun:
    """Return what the stages of a cell took, where they ran for this configuration, these images and this backend."""
    best = _earlier_choice(config, images)
    if best is None:
        return EarlierRun()
    cell = cell_of(config)
    stages = (EMBED, SWEEP, TRAIN) if _has_trained(config, best) else (EMBED, SWEEP)
    known = {stage: compute for stage in stages if (compute := read_compute(stage, cell)) is not None}
    files = [file.stat().st_size for file in cell.activations.rglob("*.npy")]
    return EarlierRun(
        {stage: compute.seconds for stage, compute in known.items()},
        max((compute.peak_memory_bytes for compute in known.values()), default=None),
        sum(files) if files else None,
    )


def measured_seconds(stage: str) -> float | None:
    """Return what the last process of a stage that is of no cell took here, such as `prepare`."""
    seconds = known_json(paths.timing(stage)).get("wall_seconds")
    return float(seconds) if isinstance(seconds, int | float) else None


def _earlier_choice(config: CellConfig, images: Images) -> BestRecord | None:
    try:
        best = read_best(cell_of(config))
    except BackbenchError:
        return None
    found = replace(config.dataset, image_size_pixels=images.stored_pixels, depth_bits=images.depth_bits)
    configuration = {**resolved(replace(config, dataset=found)), "backend": backend()}
    is_same = fingerprint(configuration, best.digests) == best.cell_key
    return best if is_same and images.digest == best.digests.get("data") else None


def _has_trained(config: CellConfig, best: BestRecord) -> bool:
    """Say whether the final models of a choice were trained, for as many seeds as are wanted."""
    cell = cell_of(config)
    try:
        metrics = read_metrics(cell.metrics, made_by=f"train@{cell}")
    except BackbenchError:
        return False
    return metrics.cell_key == best.cell_key and metrics.num_seeds == len(config.benchmark.seeds)
