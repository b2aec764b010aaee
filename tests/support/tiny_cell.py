"""A cell on a tiny backbone: its configuration, its three stages, and deaths in the middle of them."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from backbench.adaptation.strategies import TrainablePart
from backbench.config.backbone_config import WeightsConfig
from backbench.config.config import BenchmarkConfig, CellConfig
from backbench.config.running_config import TrackingConfig
from backbench.config.search_config import SearchConfig
from backbench.results.records import CellRecord
from backbench.results.result_files import read_cell
from backbench.runtime import paths
from backbench.runtime.digests import file_sha256
from backbench.runtime.paths import Cell
from backbench.stages.embed.embed import embed
from backbench.stages.sweep.sweep import sweep
from backbench.stages.train.train import train
from tests.support.configs import strategy_config
from tests.support.image_folders import config_for
from tests.support.tiny import BACKBONE

STRATEGIES = {
    "feature_extraction": strategy_config("feature_extraction", epochs=4, views=2),
    "fine_tuning": strategy_config(
        "fine_tuning",
        epochs=3,
        views=2,
        linear_probe_warmup={"epochs": 3, "learning_rates": [0.01], "weight_decay": 0.0},
    ),
}

Stage = Callable[[CellConfig], str]


def embed_cell(config: CellConfig) -> str:
    """Run the embed stage of a backbone that has one cell."""
    return embed([config])


STAGES: tuple[Stage, ...] = (embed_cell, sweep, train)


class Killed(BaseException):
    """What stands for SIGKILL."""


def cell_config_for(strategy: str, *, seeds: list[int]) -> CellConfig:
    return CellConfig(
        benchmark=BenchmarkConfig(
            dataset="tiny",
            weights="random",
            backbones=["tiny"],
            strategies=[strategy],
            search="few",
            seeds=seeds,
            threads=0,
            precision="float32",
            xla=False,
        ),
        dataset=config_for(Path("data")),
        weights=WeightsConfig(name="random", seed=0),
        backbone=BACKBONE,
        strategy=STRATEGIES[strategy],
        search=SearchConfig(
            name="few",
            sampler="quasi_random",
            num_trials=3,
            startup_trials=3,
            trials_per_batch=2,
            trials_per_round=1,
            seed=0,
        ),
        tracking=TrackingConfig(uri="sqlite:///mlflow.db", experiment="tests"),
    )


def run_cell(config: CellConfig) -> CellRecord:
    """Run the three stages; return what the cell left."""
    for stage in STAGES:
        stage(config)
    return read_cell(Cell(config.backbone.name, config.strategy.name))


def run(strategy: str, *, seeds: list[int]) -> dict[str, str]:
    """Run the three stages; return the digest of every file that DVC would hash."""
    config = cell_config_for(strategy, seeds=seeds)
    for stage in STAGES:
        last_line = stage(config)
        assert last_line.startswith(("tiny: ", f"tiny-{strategy}: "))
    cell = Cell("tiny", strategy)
    stored = [path for path in cell.activations.rglob("*") if path.is_file()]
    files = [*stored, *cell.results.iterdir(), *cell.models.iterdir(), cell.predictions]
    return {path.as_posix(): file_sha256(path) for path in sorted(files)}


def forget() -> None:
    """Take away what finished trials and seeds left, or they would be taken up."""
    shutil.rmtree(paths.STATE)


def dying_once_at(call: int) -> Callable[..., object]:
    """Replace a fit by one that dies in its n-th call of this process, and works from then on."""
    fit, calls = TrainablePart.fit, iter(range(1000))

    def dying(self: TrainablePart, *arguments: Any, **options: Any) -> object:
        if next(calls) == call:
            raise Killed
        return fit(self, *arguments, **options)

    return dying
