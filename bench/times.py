"""Print where time and memory of the last `make repro` went, by stage: `make times` (20 seconds on 2 cores).

Each stage writes the wall time and the largest resident set of its last process to work/timings/ (outside DVC's
outputs): imports, work, writing, waiting for MLflow and for workers, but neither the interpreter's start nor Hydra nor
waiting for another writer, which come before that clock starts. What a cell took to compute, in all processes and on
all machines, is in work/compute/ and in the report. What it takes to start is measured here, once per stage, in a
process that imports what the stage imports and does nothing. DVC's own time is not in it. Cells that ran side by side
had the machine to share: their seconds add up to more than the wall time of the run.
"""

import json
import subprocess
import sys
import time
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from backbench.runtime.units import UNKNOWN, size

TIMINGS = Path("work/timings")
STAGES = ("size", "boundaries", "prepare", "baseline", "embed", "sweep", "train", "measure", "compare")
# What of a stage imports most, where it is a package.
MODULES = {
    "embed": "embed.backbone_pass",
    "sweep": "sweep.cell_trials",
    "train": "train.train",
    "measure": "measure.measure",
}
# They import MLflow when they begin, not with their module.
WITH_MLFLOW = ("sweep", "train", "compare")


@dataclass(frozen=True)
class Spent:
    """What one process of a stage took; an earlier version of this project wrote no memory down."""

    seconds: float
    peak_bytes: int | None


def spent_by_stage() -> dict[str, list[Spent]]:
    """Read what every process of the last run took."""
    found: dict[str, list[Spent]] = defaultdict(list)
    for path in sorted(TIMINGS.glob("*.json")):
        content = json.loads(path.read_text(encoding="utf-8"))
        found[path.stem.split("-")[0]].append(Spent(content["wall_seconds"], content.get("peak_memory_bytes")))
    return {stage: found[stage] for stage in STAGES if stage in found}


def largest(spent: list[Spent]) -> str:
    """Spell the largest resident set of any process; a dash where none is known."""
    known = [one.peak_bytes for one in spent if one.peak_bytes is not None]
    return size(max(known)) if known else UNKNOWN


def seconds_to_start(stage: str) -> float:
    """Start a process that imports what a stage imports, and see how long it takes to end."""
    modules = [
        "hydra",
        "backbench.cli.entry",
        f"backbench.stages.{MODULES.get(stage, stage)}",
        *["mlflow.tracking"] * (stage in WITH_MLFLOW),
    ]
    started = time.perf_counter()
    subprocess.run([sys.executable, "-c", f"import {', '.join(modules)}"], check=True, stderr=subprocess.DEVNULL)
    return time.perf_counter() - started


def table_of(spent: dict[str, list[Spent]], starts: dict[str, float]) -> Table:
    """Add up the processes of every stage; `starts` has the seconds that a process of each takes to start."""
    headings = (
        "stage",
        "processes",
        "wall seconds in all",
        "longest",
        "largest memory",
        "to start, each",
        "to start, in all",
    )
    table = Table(*headings)
    for stage, processes in spent.items():
        seconds, start = [one.seconds for one in processes], starts[stage]
        columns = (f"{sum(seconds):.1f}", f"{max(seconds):.1f}", largest(processes), f"{start:.1f}")
        table.add_row(stage, str(len(processes)), *columns, f"{start * len(processes):.1f}")
    everything = [one for processes in spent.values() for one in processes]
    in_all = sum(one.seconds for one in everything)
    start_in_all = sum(starts[stage] * len(processes) for stage, processes in spent.items())
    table.add_row("all", str(len(everything)), f"{in_all:.1f}", "", largest(everything), "", f"{start_in_all:.1f}")
    return table


def main() -> None:
    """Sum the seconds of every stage's processes; says so where no stage has run here."""
    spent = spent_by_stage()
    if not spent:
        print(f"expected timings in {TIMINGS}, found none; run `make repro` first")
        return
    Console().print(table_of(spent, {stage: seconds_to_start(stage) for stage in spent}))


if __name__ == "__main__":
    main()
