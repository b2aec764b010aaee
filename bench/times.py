"""Print where the wall time of the last `make repro` went, by stage: `make times` (20 seconds on 2 cores).

Each stage writes its own seconds to work/timings/ (outside DVC's outputs): imports, work and writing, but neither the
interpreter's start nor Hydra, which come before that clock starts. What it takes to start is measured here, once per
stage, in a process that imports what the stage imports and does nothing. DVC's own time is not in it. Cells that ran
side by side had the machine to share: their seconds add up to more than the wall time.
"""

import json
import subprocess
import sys
import time
from collections import defaultdict
from pathlib import Path

from rich.console import Console
from rich.table import Table

TIMINGS = Path("work/timings")
STAGES = ("prepare", "baseline", "embed", "sweep", "train", "compare")
# They import MLflow when they begin, not with their module.
WITH_MLFLOW = ("sweep", "train", "compare")


def seconds_by_stage() -> dict[str, list[float]]:
    """Read what every process of the last run took."""
    seconds: dict[str, list[float]] = defaultdict(list)
    for path in sorted(TIMINGS.glob("*.json")):
        seconds[path.stem.split("-")[0]].append(json.loads(path.read_text(encoding="utf-8"))["wall_seconds"])
    return seconds


def seconds_to_start(stage: str) -> float:
    """Start a process that imports what a stage imports, and see how long it takes to end."""
    modules = ["hydra", "backbench.entry", f"backbench.stages.{stage}", *["mlflow.tracking"] * (stage in WITH_MLFLOW)]
    started = time.perf_counter()
    subprocess.run([sys.executable, "-c", f"import {', '.join(modules)}"], check=True, stderr=subprocess.DEVNULL)
    return time.perf_counter() - started


def main() -> None:
    """Sum the seconds of every stage's processes; says so where no stage has run here."""
    seconds = seconds_by_stage()
    if not seconds:
        print(f"expected timings in {TIMINGS}, found none; run `make repro` first")
        return
    table = Table("stage", "processes", "seconds in all", "longest", "to start, each", "to start, in all")
    starts = {stage: seconds_to_start(stage) for stage in STAGES if seconds[stage]}
    for stage, start in starts.items():
        spent = seconds[stage]
        columns = [sum(spent), max(spent), start, start * len(spent)]
        table.add_row(stage, str(len(spent)), *(f"{value:.1f}" for value in columns))
    spent_in_all = sum(sum(spent) for spent in seconds.values())
    start_in_all = sum(start * len(seconds[stage]) for stage, start in starts.items())
    table.add_row("all", str(sum(map(len, seconds.values()))), f"{spent_in_all:.1f}", "", "", f"{start_in_all:.1f}")
    Console().print(table)


if __name__ == "__main__":
    main()
