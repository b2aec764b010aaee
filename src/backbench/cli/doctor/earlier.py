"""What an earlier run of the very same cell took: better than any estimate."""

from dataclasses import replace
from pathlib import Path

from backbench.cli.doctor.images import Images
from backbench.cli.doctor.plan import cell_of
from backbench.config.config import CellConfig, resolved
from backbench.data.file_formats import known_json
from backbench.results.fingerprints import fingerprint
from backbench.results.records import BestRecord
from backbench.results.result_files import read_best, read_metrics
from backbench.runtime import paths
from backbench.runtime.errors import BackbenchError
from backbench.runtime.installation import backend


def measured_seconds(stage: str) -> float | None:
    """Return what a stage that is of no cell wrote of its last run here, such as `prepare`."""
    seconds = known_json(paths.timing(stage)).get("wall_seconds")
    return float(seconds) if isinstance(seconds, int | float) else None


def earlier_choice(config: CellConfig, images: Images) -> BestRecord | None:
    """Return what the sweep of this cell chose, where it was for this configuration and these images."""
    try:
        best = read_best(cell_of(config))
    except BackbenchError:
        return None
    found = replace(config.dataset, image_size_pixels=images.stored_pixels, depth_bits=images.depth_bits)
    configuration = {**resolved(replace(config, dataset=found)), "backend": backend()}
    is_same = fingerprint(configuration, best.digests) == best.cell_key
    return best if is_same and images.digest == best.digests.get("data") else None


def has_trained(config: CellConfig, best: BestRecord) -> bool:
    """Say whether the final models of that choice were trained, for as many seeds as are wanted."""
    cell = cell_of(config)
    try:
        metrics = read_metrics(cell.metrics, made_by=f"train@{cell}")
    except BackbenchError:
        return False
    return metrics.cell_key == best.cell_key and metrics.num_seeds == len(config.benchmark.seeds)


def stored_bytes(config: CellConfig) -> int | None:
    """Return the size of the activations that embed left for a cell, or None where there are none."""
    folder: Path = cell_of(config).activations
    files = [file for file in folder.rglob("*.npy") if file.is_file()]
    return sum(file.stat().st_size for file in files) if files else None
