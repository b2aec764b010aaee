"""How many tasks a second the engine runs, whose tasks take no time: `python -m bench.task_rate` (half a minute).

Eight workers on this machine, with TLS as everywhere, and as many tasks in flight. What starting them takes is left
out. A trial is one task, so this is the most that trials of no length would come to.
"""

import argparse
import time
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.support.toy_tasks import opened

from backbench.runtime.engine.engine import Tasks, running
from backbench.runtime.engine.workers import Workers

WARM_UP = 50  # tasks of each worker


def squares(num_tasks: int) -> Tasks:
    """Return tasks that take no time."""
    return {f"task {number}": ("square", number) for number in range(num_tasks)}


def tasks_per_second(num_workers: int, num_tasks: int, folder: Path) -> float:
    """Run empty tasks, and return their rate when every worker and its process runs."""
    workers = Workers(name="bench", start="{worker}", host="127.0.0.1", num_workers=num_workers)
    with running("task rate", workers, partial(opened, folder)) as run:
        list(run(squares(WARM_UP * num_workers)))
        started = time.perf_counter()
        assert len(list(run(squares(num_tasks)))) == num_tasks
        return num_tasks / (time.perf_counter() - started)


def main() -> None:
    """Print the rate."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workers", type=int, default=8)
    parser.add_argument("--tasks", type=int, default=1000)
    options = parser.parse_args()
    with TemporaryDirectory() as folder:
        rate = tasks_per_second(options.workers, options.tasks, Path(folder))
    print(f"{options.workers} workers: {rate:.0f} tasks a second")


if __name__ == "__main__":
    main()
