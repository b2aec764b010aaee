"""How many trials a second a study's storage takes, whose trials take no time: `python -m bench.storage`.

Eight workers, processes of their own, claim and tell as fast as they can, so that what is measured is the storage and
those who speak to it. With BACKBENCH_STUDIES in the environment PostgreSQL too, and how often it commits. A minute
each, on an idle machine.
"""

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tests.support.toy_study import coordinated, coordination_of, many_trials, opened

from backbench.config.running_config import Storage, WorkersConfig
from backbench.search.study_storage import STUDIES

PROJECT = Path(__file__).parents[1]


def commits() -> int:
    """Return how many transactions the database has ended so far; the driver is an optional dependency."""
    import psycopg

    with psycopg.connect(os.environ[STUDIES].replace("+psycopg", "")) as connection:
        connection.execute("select pg_stat_clear_snapshot()")
        row: Any = connection.execute("select sum(xact_commit) from pg_stat_database").fetchone()
    return int(row[0])


def measured(storage: Storage, num_workers: int, num_trials: int) -> str:
    """Run a study of empty trials, and say what was measured."""
    is_database = storage == "postgresql"
    with TemporaryDirectory() as temporary:
        folder = Path(temporary)
        study = opened(folder, WorkersConfig(name="bench", storage=storage), creating=True)
        coordination = coordination_of(study)
        command = [sys.executable, "-m", "tests.support.toy_study", str(folder), storage, "0"]
        workers = [subprocess.Popen(command, cwd=PROJECT) for _ in range(num_workers)]
        seen: list[tuple[float, int, int]] = []

        def wait(num_finished: int) -> None:
            if num_finished:
                seen.append((time.monotonic(), num_finished, commits() if is_database else 0))
            time.sleep(0.5)

        coordinated(coordination, many_trials(num_trials), wait)
        for worker in workers:
            worker.wait()
        study.remove(["cell"])
    (began, first, before), (ended, last, after) = seen[0], seen[-1]
    line = f"{storage}: {num_workers} workers, {(last - first) / (ended - began):.1f} trials a second"
    if not is_database:
        return line
    spent = after - before
    return f"{line}, {spent / (ended - began):.0f} commits a second, {spent / (last - first):.1f} a trial"


def main() -> None:
    """Measure one storage after another and print a line each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workers", type=int, default=8)
    parser.add_argument("--trials", type=int, default=200, help="at most 200")
    options = parser.parse_args()
    storages: list[Storage] = ["journal", "sqlite"]
    if STUDIES in os.environ:
        storages.append("postgresql")
    for storage in storages:
        print(measured(storage, options.workers, options.trials), flush=True)


if __name__ == "__main__":
    main()
