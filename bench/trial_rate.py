"""Trials per minute of one worker and of two, side by side: `python -m bench.trial_rate` (minutes, on an idle machine).

Needs what `make repro` leaves of the cell. Each worker is a process of its own with one thread. What a worker does
once, starting and tracing, is left out: the rate is that of the trials after every worker's first.
"""

import argparse
import statistics
import time
from collections.abc import Callable

from hydra import compose, initialize_config_dir

from backbench.cli.entry import quiet_libraries
from backbench.config.config import CellConfig, cell_config
from backbench.config.running_config import WorkersConfig
from backbench.runtime.installation import CONF
from backbench.search.worker import Worker

TIMES_TO_ONE = 60.0


def overrides(options: argparse.Namespace) -> list[str]:
    """Spell the cell and its study, without pruning: every trial takes as long."""
    return [
        *("dataset=photodigits", "weights=formula", "search=quasi_random", "search.pruner=null"),
        *(f"backbone={options.backbone}", f"strategy={options.strategy}", f"search.num_trials={options.trials}"),
        *("workers=local", f"workers.storage={options.storage}"),
    ]


def no_own_worker(is_asked_to_leave: Callable[[], bool]) -> Worker:
    """Refuse to work in this process: it measures."""
    raise AssertionError("workers are started here")


def trials_per_minute(config: CellConfig, workers: WorkersConfig, given: list[str]) -> float:
    """Run a study by so many workers, and return the rate of its trials after every worker's first."""
    from backbench.results.cell_inputs import CellInputs
    from backbench.stages.sweep.cell_study import CellStudy
    from backbench.stages.sweep.worker_pool import worker_pool

    inputs = CellInputs.of(config)
    cell = CellStudy(inputs, workers)
    study = cell.open(creating=True)
    coordination = cell.coordination(study)
    finished: list[float] = []
    with worker_pool(inputs.cell, workers, given, no_own_worker) as wait:
        coordination.run(
            config.search,
            prunes=cell.prunes,
            batch_size=cell.batch_size,
            on_trial=lambda record: finished.append(time.monotonic()),
            wait=wait,
        )
    cell.remove(study)
    counted = finished[workers.num_workers - 1 :]
    return (len(counted) - 1) / (counted[-1] - counted[0]) * TIMES_TO_ONE


def main() -> None:
    """Measure one and two workers in turns, and print every rate and the ratio of the medians."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--backbone", default="resnet50_slim")
    parser.add_argument("--strategy", default="fine_tuning")
    parser.add_argument("--storage", default="journal")
    parser.add_argument("--trials", type=int, default=24)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    quiet_libraries()
    given = overrides(options)
    with initialize_config_dir(config_dir=CONF, version_base=None):
        config = cell_config(compose("config", overrides=given))
    rates: dict[int, list[float]] = {1: [], 2: []}
    for number in range(options.rounds):
        for num_workers in (1, 2) if number % 2 == 0 else (2, 1):
            workers = WorkersConfig(name="bench", num_workers=num_workers, launcher="local", storage=options.storage)
            rates[num_workers].append(trials_per_minute(config, workers, given))
            print(f"{num_workers} workers: {rates[num_workers][-1]:.1f} trials a minute", flush=True)
    one, two = (statistics.median(rates[num_workers]) for num_workers in (1, 2))
    cell = f"{options.backbone}-{options.strategy}, {options.storage}"
    print(f"{cell}: two workers, {two / one:.2f} times the trials of one")


if __name__ == "__main__":
    main()
