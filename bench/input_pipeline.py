"""What the input pipeline costs: training on stored activations against one batch used again and again.

`python -m bench.input_pipeline`, after `make repro`: for every cell of conf/benchmark.yaml, examples per second of
training on real stored data (gathering, casting, views) and on a constant batch, alternating; medians. Where
real / constant is 1, the input costs nothing.
"""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from hydra import compose, initialize_config_dir
from rich.console import Console
from rich.table import Table

from backbench import artifacts
from backbench.activations import Activations
from backbench.config import CellConfig, cell_config
from backbench.entry import CONF, quiet_libraries, refusing
from backbench.stages.cell import cell_inputs
from backbench.training import Fitter, shuffled_batches

REPEATS = 7
NUM_STEPS = 20
LEARNING_RATE = 1e-5
CHOICES = ("dataset", "weights", "search")


@dataclass(frozen=True)
class Throughput:
    """Examples per second, medians of the repeats."""

    real: float
    constant: float


def train_steps(fitter: Fitter, train: Activations) -> tuple[Callable[[], object], Callable[[], object]]:
    """Return two functions that train `NUM_STEPS` steps: on stored data, and on one batch held in memory.

    Everything that this script knows of `Fitter` is here.
    """
    batches = shuffled_batches(train.num_examples, fitter.schedule.batch_size, seed=0)
    chosen = next(batches)
    values, labels = train.values[0, chosen].astype("float32"), train.labels[chosen]
    views = np.random.default_rng(0)

    def real() -> object:
        return fitter._train_epoch([LEARNING_RATE] * NUM_STEPS, batches, views, train)

    def constant() -> object:
        for _ in range(NUM_STEPS):
            fitter._optimizer.learning_rate = LEARNING_RATE
            loss = fitter.model.train_on_batch(values, labels)
        return loss

    return real, constant


def throughput(fitter: Fitter, train: Activations) -> Throughput:
    """Measure both kinds of steps in turn, the traced program and the file cache warm."""
    steps = train_steps(fitter, train)
    seconds: tuple[list[float], list[float]] = ([], [])
    for repeat in range(REPEATS + 1):
        for kind, run in enumerate(steps):
            started = time.perf_counter()
            run()
            if repeat:  # The first one traces, and reads from disk.
                seconds[kind].append(time.perf_counter() - started)
    real, constant = (NUM_STEPS * fitter.schedule.batch_size / median(taken) for taken in seconds)
    return Throughput(real, constant)


def cell_configs() -> list[CellConfig]:
    """Compose every cell of conf/benchmark.yaml."""
    benchmark: dict[str, Any] = artifacts.read_yaml(Path(CONF) / "benchmark.yaml", made_by="bench")
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
        inputs = cell_inputs(config)
        measured = throughput(inputs.adapter().fitter, inputs.activations("train"))
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
