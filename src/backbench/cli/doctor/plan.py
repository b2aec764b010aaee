"""What conf/benchmark.yaml asks for: every cell, typed as its stages will see it, without Hydra."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from backbench.config import catalog
from backbench.config.backbone_config import BackboneConfig, WeightsConfig
from backbench.config.backbone_files import read_backbone_yaml
from backbench.config.config import BenchmarkConfig, CellConfig, cell_config, gathered, to_typed
from backbench.config.config_files import read_named, read_named_yaml, read_yaml
from backbench.config.running_config import WorkersConfig

CONF = Path("conf")
BENCHMARK = CONF / "benchmark.yaml"
TRACKING = "local"  # what conf/config.yaml chooses
ONE_WORKER = WorkersConfig(name="one")


@dataclass(frozen=True)
class Plan:
    """A benchmark: at least one cell, all of one data set and one search."""

    cells: tuple[CellConfig, ...]
    workers: WorkersConfig = ONE_WORKER

    @property
    def one(self) -> CellConfig:
        """Any cell, for what all share."""
        return self.cells[0]

    @property
    def backbones(self) -> list[BackboneConfig]:
        """Each once, in the order of the benchmark."""
        return list({cell.backbone.name: cell.backbone for cell in self.cells}.values())

    @property
    def backbones_of_weights(self) -> list[tuple[WeightsConfig, list[BackboneConfig]]]:
        """Every choice of weights, with the backbones that have it."""
        weights = {cell.weights.name: cell.weights for cell in self.cells}
        having = {name: {c.backbone.name: c.backbone for c in self.cells if c.weights.name == name} for name in weights}
        return [(weights[name], list(backbones.values())) for name, backbones in having.items()]

    @property
    def wanted_pixels(self) -> int:
        """The side of what the largest backbone takes."""
        return max(backbone.input_size_pixels for backbone in self.backbones)

    @property
    def num_processes_of_a_cell(self) -> int:
        """How many of a cell's processes compute at once on this machine: none where its workers are elsewhere."""
        if self.workers.is_this_process:
            return 1
        return self.workers.num_workers if self.workers.are_on_this_machine else 0


def read_plan() -> Plan:
    """Read the benchmark of the working directory.

    Raises:
        ConfigError: files are missing or broken, all of which are named.
    """
    plain = read_yaml(BENCHMARK)
    benchmark = to_typed(plain, BenchmarkConfig, where=str(BENCHMARK))
    chosen = {group: getattr(benchmark, group) for group in ("dataset", "weights", "search", "workers")}
    files = [CONF / f"{group}/{name}.yaml" for group, name in chosen.items()]
    files += [CONF / f"strategy/{name}.yaml" for name in benchmark.strategies]
    files += [catalog.FOLDER / f"{name}.yaml" for name in benchmark.backbones]
    read = dict(zip(files, gathered(partial(_read, file) for file in files), strict=True))
    strategies, backbones = (
        [content for file, content in read.items() if file.parent.name == group] for group in ("strategy", "backbone")
    )
    of_group = {file.parent.name: content for file, content in read.items()}
    named = [CONF / f"weights/{backbone.get('weights') or benchmark.weights}.yaml" for backbone in backbones]
    weights = gathered(partial(read_named_yaml, file) for file in named)
    workers = to_typed(of_group["workers"], WorkersConfig, where=str(CONF / f"workers/{benchmark.workers}.yaml"))
    shared = {
        "benchmark": plain,
        "tracking": read_yaml(CONF / f"tracking/{TRACKING}.yaml"),
        **{group: of_group[group] for group in ("dataset", "search")},
    }
    grid = [
        {**shared, "weights": of_backbone, "backbone": backbone, "strategy": strategy}
        for backbone, of_backbone in zip(backbones, weights, strict=True)
        for strategy in strategies
    ]
    return Plan(tuple(gathered(partial(cell_config, OmegaConf.create(content)) for content in grid)), workers)


def _read(file: Path) -> dict[str, Any]:
    return read_backbone_yaml(file) if file.parent == catalog.FOLDER else read_named_yaml(file)


def workers_to_start() -> str:
    """Name the workers that `make cluster` starts: those of the benchmark, where something starts them, else local.

    Raises:
        ConfigError: a file is missing or broken.
    """
    benchmark = to_typed(read_yaml(BENCHMARK), BenchmarkConfig, where=str(BENCHMARK))
    chosen = read_named(CONF / f"workers/{benchmark.workers}.yaml", WorkersConfig)
    return "local" if chosen.start is None else chosen.name
