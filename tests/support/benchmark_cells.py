"""A cell of the shipped benchmark and its images as the doctor sees them, and what an earlier run of it leaves."""

from dataclasses import replace

import numpy as np

from backbench.cli.doctor.images import Images
from backbench.cli.doctor.plan import read_plan
from backbench.config.config import CellConfig, resolved
from backbench.config.strategy_config import StrategyConfig
from backbench.results.records import BestRecord, Choice, fingerprint
from backbench.results.result_files import write_best
from backbench.runtime.paths import Cell
from tests.support.clock import computed
from tests.support.configs import backbone_config

IMAGES = Images({"train": 200, "val": 400, "test": 1197}, 10, None, 64, np.full(1797, 64), None)


def one_cell(strategy: StrategyConfig, **changes: object) -> CellConfig:
    shipped = read_plan().cells[0]
    sized = backbone_config("resnet50_slim", num_parameters=1_500_000, num_macs=20_000_000)
    return replace(shipped, **{"backbone": sized, "strategy": strategy, **changes})


def leave_earlier_run(config: CellConfig, *, data: str) -> None:
    """What sweep leaves of a cell, and what embed and sweep took to compute."""
    cell, digests = Cell(config.backbone.name, config.strategy.name), {"data": data, "weights": "w"}
    prepared = replace(config.dataset, image_size_pixels=IMAGES.stored_pixels)
    configuration = {**resolved(replace(config, dataset=prepared)), "backend": "tensorflow"}
    key = fingerprint(configuration, digests)
    choice = Choice(0, "output", 0.1, 0.1, 1.0, 0.5)
    record = BestRecord(key, cell.backbone, cell.strategy, 8, 0, 80, choice, "none", digests, configuration)
    write_best(cell, record)
    for stage, seconds in (("embed", 111.0), ("sweep", 222.0), ("train", 333.0)):
        computed(stage, cell, seconds)
