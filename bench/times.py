"""Print where the wall time of the last `make repro` went, by stage: `make times`.

Each stage writes its own seconds to work/timings/ (outside DVC's outputs). The interpreter's start and
the imports of Hydra come before that clock starts; DVC's own time is not in it.
"""

import json
from collections import defaultdict
from pathlib import Path

from rich.console import Console
from rich.table import Table

TIMINGS = Path("work/timings")


def main() -> None:
    """Sum the seconds of every stage's processes; says so where no stage has run here."""
    seconds: dict[str, list[float]] = defaultdict(list)
    for path in sorted(TIMINGS.glob("*.json")):
        stage = path.stem.split("-")[0]
        seconds[stage].append(json.loads(path.read_text(encoding="utf-8"))["wall_seconds"])
    if not seconds:
        print(f"expected timings in {TIMINGS}, found none; run `make repro` first")
        return
    table = Table("stage", "processes", "seconds in all", "longest")
    for stage in ("prepare", "baseline", "embed", "sweep", "train", "compare"):
        if spent := seconds[stage]:
            table.add_row(stage, str(len(spent)), f"{sum(spent):.0f}", f"{max(spent):.0f}")
    table.add_row("all", str(sum(map(len, seconds.values()))), f"{sum(map(sum, seconds.values())):.0f}", "")
    Console().print(table)


if __name__ == "__main__":
    main()
