"""What stages that are not over have kept of a cell, in a project's folder."""

from pathlib import Path

from backbench.runtime.known_files import known_json
from backbench.runtime.paths import STATE


def num_kept(project: Path = Path()) -> int:
    """Count the trials, the seeds and the ranges of images that are finished."""
    files = [file for file in (project / STATE).rglob("*.json") if not file.name.endswith(".left.json")]
    return sum(known_json(file).get("num_ranges", 1) for file in files)


def checkpoints(project: Path = Path()) -> list[Path]:
    """Return the files of fits that were left before their end."""
    return list((project / STATE).rglob("checkpoints/*.npz"))
