"""Trials per minute of one worker and of two, side by side: `python -m bench.trial_rate` (minutes, on an idle machine).

Needs what `make repro` leaves of the cell. Every worker computes with one thread, on this machine. What a worker does
once, starting and tracing, is left out: the rate is that of the trials after every worker's first. Nothing is kept.
"""

import argparse
import statistics
import time
from functools import partial

from hydra import compose, initialize_config_dir

from backbench.cli.entry import quiet_libraries, refusing
from backbench.config.config import CellConfig, cell_config
from backbench.results.cell_inputs import CellInputs
from backbench.runtime.engine.engine import running
from backbench.runtime.engine.workers import Workers
from backbench.runtime.installation import CONF
from backbench.search.search import Pruning, proposals
from backbench.stages.sweep.study import study_of
from backbench.stages.sweep.sweep import opened_trials

TIMES_TO_ONE = 60.0
NUM_WORKERS = (1, 2)


def composed(options: argparse.Namespace) -> CellConfig:
    """Compose the cell and its study."""
    given = [
        *("dataset=photodigits", "weights=formula", "search=quasi_random", f"search.num_trials={options.trials}"),
        *(f"backbone={options.backbone}", f"strategy={options.strategy}"),
    ]
    with initialize_config_dir(config_dir=CONF, version_base=None):
        return cell_config(compose("config", overrides=given))


def trials_per_minute(config: CellConfig, num_workers: int) -> float:
    """Run the trials of a study by so many workers, none pruned; return the rate after every worker's first."""
    space, search = study_of(CellInputs.of(config)).space, config.search
    proposed = proposals(search, space, range(search.num_trials), ())
    tasks = {f"trial {each.position}": ("fit", [each], Pruning(None, space, ())) for each in proposed}
    workers = Workers(name="bench", start="{worker}", host="127.0.0.1", num_workers=num_workers)
    with running("trial rate", workers, partial(opened_trials, config)) as run:
        ended = [time.monotonic() for _ in run(tasks)][num_workers - 1 :]
    return (len(ended) - 1) / (ended[-1] - ended[0]) * TIMES_TO_ONE


def main() -> None:
    """Measure one and two workers in turns, and print every rate and the ratio of the medians."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--backbone", default="resnet50_slim")
    parser.add_argument("--strategy", default="fine_tuning")
    parser.add_argument("--trials", type=int, default=24)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    quiet_libraries()
    config = composed(options)
    rates: dict[int, list[float]] = {number: [] for number in NUM_WORKERS}
    for turn in range(options.rounds):
        for number in NUM_WORKERS if turn % 2 == 0 else reversed(NUM_WORKERS):
            rates[number].append(trials_per_minute(config, number))
            print(f"{number} workers: {rates[number][-1]:.1f} trials a minute", flush=True)
    one, two = (statistics.median(rates[number]) for number in NUM_WORKERS)
    print(f"{config.cell}: two workers, {two / one:.2f} times the trials of one")


if __name__ == "__main__":
    with refusing():
        main()
