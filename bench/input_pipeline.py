"""What the input pipeline costs: training on stored activations against one batch used again and again.

`python -m bench.input_pipeline`, after `make repro`: for every cell of conf/benchmark.yaml, examples per second of
training on real stored data (gathering, casting, views) and on a constant batch, alternating; medians. Where
real / constant is 1, the input costs nothing.
"""

import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import product, repeat
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from hydra import compose, initialize_config_dir
from rich.console import Console
from rich.table import Table

from backbench.adaptation.schedule import Batch, Hyperparameters, made_ahead, training_batches
from backbench.adaptation.strategies import TrainablePart, schedule_of
from backbench.adaptation.training_inputs import TrainingInputs
from backbench.cli.entry import quiet_libraries, refusing
from backbench.config.config import CellConfig, cell_config
from backbench.data.arrays.file_formats import read_yaml
from backbench.features.activations import ActivationSource
from backbench.runtime.installation import CONF

REPEATS = 9
NUM_STEPS = 40
LEARNING_RATE = 1e-5
CHOICES = ("dataset", "weights", "search")


@dataclass(frozen=True)
class Throughput:
    """Examples per second, medians of the repeats."""

    real: float
    constant: float


Steps = Callable[[Iterator[Batch]], object]


def steps_of(config: CellConfig, trainable_part: TrainablePart, seed: int = 0) -> Steps:
    """Return what trains `NUM_STEPS` steps of a cell's sweep: one suffix, or as many heads as a batch of trials has.

    Everything that this script knows of the fitters is here.
    """
    if trainable_part._fitter is not None:
        return partial(trainable_part._fitter.train_epoch, [LEARNING_RATE] * NUM_STEPS)
    num_heads = min(config.search.trials_per_batch, config.search.num_trials)
    candidates = [Hyperparameters(LEARNING_RATE, 0.0, seed)] * num_heads
    stack = trainable_part._stacked(schedule_of(config.strategy), candidates)
    rates = np.full((NUM_STEPS, num_heads), LEARNING_RATE, "float32")
    return lambda batches: stack.train_epoch(rates, [batches])


def throughput(train_steps: Steps, train: ActivationSource, batch_size: int) -> Throughput:
    """Measure both kinds of steps in turn, the traced program and the file cache warm."""
    constant = next(training_batches(train, batch_size, seed=0))
    seconds: tuple[list[float], list[float]] = ([], [])
    with made_ahead(training_batches(train, batch_size, seed=0)) as real:
        for turn in range(REPEATS + 1):
            for kind, batches in enumerate((real, repeat(constant))):
                started = time.perf_counter()
                train_steps(batches)
                if turn:  # The first one traces, and reads from disk.
                    seconds[kind].append(time.perf_counter() - started)
    return Throughput(*(NUM_STEPS * batch_size / median(taken) for taken in seconds))


def cell_configs() -> list[CellConfig]:
    """Compose every cell of conf/benchmark.yaml."""
    benchmark: dict[str, Any] = read_yaml(Path(CONF) / "benchmark.yaml", made_by="bench")
    chosen = [f"{group}={benchmark[group]}" for group in CHOICES]
    with initialize_config_dir(CONF, version_base=None):
        return [
            cell_config(compose("config", [*chosen, f"backbone={backbone}", f"strategy={strategy}"]))
            for backbone, strategy in product(benchmark["backbones"], benchmark["strategies"])
        ]


def main() -> None:
    """Print a line per cell."""
    quiet_libraries()
    table = Table("backbone", "strategy", "real, examples/s", "constant, examples/s", "real / constant")
    for config in cell_configs():
        inputs = TrainingInputs.of(config)
        steps = steps_of(config, inputs.trainable_part())
        measured = throughput(steps, inputs.activations("train"), config.strategy.batch_size)
        ratio = measured.real / measured.constant
        table.add_row(
            config.backbone.name,
            config.strategy.name,
            f"{measured.real:.0f}",
            f"{measured.constant:.0f}",
            f"{ratio:.2f}",
        )
    Console().print(table)


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with refusing():
        main()
