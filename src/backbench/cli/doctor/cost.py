"""What a run of the whole benchmark would cost, before it starts: seconds, disk and memory.

An estimate is start-up, which was measured, plus arithmetic, at a share of the speed that this machine multiplies
matrices with. docs/command.md holds it to a real run.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from backbench.backbones.latency import THROUGHPUT_BATCH, Patience
from backbench.cli.doctor import arithmetic
from backbench.cli.doctor.arithmetic import FLOAT_BYTES, Work
from backbench.cli.doctor.earlier import earlier_choice, has_trained, measured_seconds, stored_bytes
from backbench.cli.doctor.images import Images
from backbench.cli.doctor.machine import Machine
from backbench.cli.doctor.plan import Plan, cell_of
from backbench.comparison.costs import measured_cost
from backbench.config.config import CellConfig
from backbench.results.compute import read_compute

# Seconds of a process that does next to nothing: imports, building, tracing. Measured, docs/performance.md.
START_SECONDS = {
    "size": 0.5,
    "prepare": 0.5,
    "baseline": 1.6,
    "embed": 6.0,
    "sweep": 6.0,
    "train": 6.0,
    "measure": 5.0,
    "compare": 3.6,
}
# To build a backbone and to trace it for one image and for a batch.
BUILDING_SECONDS = 3.0
# To trace a step of a suffix and of its evaluation.
SUFFIX_SECONDS = 4.0
# What DVC and the interpreter take beside each stage.
DVC_SECONDS = 4.5
# What a step takes beside its arithmetic.
SUFFIX_STEP_SECONDS = 0.008
HEAD_STEP_SECONDS = 0.0014
# The share of the speed of matrix products that convolutions reach; depthwise ones 0.2, those of VGG over 1.
EFFICIENCY = 0.5
READ_BYTES_PER_SECOND = 10**7
PIXEL_VALUES, PIXEL_PASSES = 3 * 32**2, 1000  # of the baseline: six fits of some tens of iterations

# A process that has imported all and holds a small model (docs/performance.md, Memory).
PROCESS_BYTES = 10**9
EMBED_BATCH, ALIVE_LAYERS, WIDEST_CHANNELS, TRAINED_LAYERS = 128, 3, 64, 10
# Weights, their gradient, two moments of AdamW, the values to start from, and those of the best epoch.
COPIES_OF_WEIGHTS = 6
COPIES_ON_DISK = 2  # DVC keeps one


@dataclass(frozen=True)
class StageCost:
    """Seconds of all processes of one kind of stage, and how many of them an earlier run measured."""

    seconds: float
    num_processes: int
    num_measured: int


@dataclass(frozen=True)
class Cost:
    """A run of everything, as if nothing were done yet; seconds of `stages` are added up over processes."""

    num_cells: int
    num_stages: int
    num_trials: int
    num_final_fits: int
    jobs: int
    stages: Mapping[str, StageCost]
    wall_seconds: float
    disk_bytes: float
    memory_bytes: float

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def estimated(plan: Plan, images: Images, machine: Machine, *, jobs: int) -> Cost:
    """Estimate a run with `jobs` cells side by side."""
    speed = _speed_of_a_process(plan, machine, jobs)
    cells = [_cell_seconds(config, images, speed) for config in plan.cells]
    shared = {name: _shared_seconds(name, images, speed) for name in ("size", "prepare", "baseline", "compare")}
    # Never from an earlier run: where all was measured already, it took no time.
    shared["measure"] = (_measuring_seconds(plan, speed), False)
    stages = {name: _added([shared[name]]) for name in ("size", "prepare", "baseline")}
    stages |= {name: _added([cell[name] for cell in cells]) for name in ("embed", "sweep", "train")}
    stages |= {name: _added([shared[name]]) for name in ("measure", "compare")}
    of_cells = [sum(seconds for seconds, _ in cell.values()) + DVC_SECONDS * len(cell) for cell in cells]
    side_by_side = max(sum(of_cells) / jobs, max(of_cells))
    one_by_one = sum(seconds for seconds, _ in shared.values()) + DVC_SECONDS * len(shared)
    return Cost(
        num_cells=len(plan.cells),
        num_stages=plan.num_stages,
        num_trials=plan.num_trials,
        num_final_fits=plan.num_final_fits,
        jobs=jobs,
        stages=stages,
        wall_seconds=side_by_side + one_by_one,
        disk_bytes=sum(_cell_disk_bytes(config, images) for config in plan.cells) + _pixel_bytes(images),
        memory_bytes=sum(sorted(cell_bytes(plan, images), reverse=True)[:jobs]),
    )


def _speed_of_a_process(plan: Plan, machine: Machine, jobs: int) -> float:
    threads = plan.one.benchmark.threads or machine.num_cores
    return EFFICIENCY * machine.flops_per_second * min(1.0, threads / machine.num_cores, 1 / jobs)


def _added(seconds: list[tuple[float, bool]]) -> StageCost:
    return StageCost(sum(value for value, _ in seconds), len(seconds), sum(measured for _, measured in seconds))


def _cell_seconds(config: CellConfig, images: Images, speed: float) -> dict[str, tuple[float, bool]]:
    """Return the seconds of each stage of a cell, and whether they were measured."""
    best = earlier_choice(config, images)
    is_known = {"embed": best is not None, "sweep": best is not None}
    is_known["train"] = best is not None and has_trained(config, best)
    works = {
        "embed": arithmetic.embed_work(config, images),
        "sweep": arithmetic.sweep_work(config, images),
        "train": arithmetic.train_work(config, images),
    }
    found = {}
    for stage, work in works.items():
        measured = read_compute(stage, cell_of(config)) if is_known[stage] else None
        seconds = _seconds(stage, work, speed) if measured is None else START_SECONDS[stage] + measured.seconds
        found[stage] = seconds, measured is not None
    return found


def _seconds(stage: str, work: Work, speed: float) -> float:
    tracing = SUFFIX_SECONDS if work.suffix_steps else 0.0
    steps = work.suffix_steps * SUFFIX_STEP_SECONDS + work.head_steps * HEAD_STEP_SECONDS
    return START_SECONDS[stage] + tracing + steps + 2 * work.macs / speed


def _shared_seconds(stage: str, images: Images, speed: float) -> tuple[float, bool]:
    measured = measured_seconds(stage) if images.digest is not None else None
    if measured is not None:
        return measured, True
    seconds = START_SECONDS[stage]
    if stage == "prepare":
        seconds += images.num_bytes / READ_BYTES_PER_SECOND
    if stage == "baseline":
        macs = PIXEL_VALUES * images.num_classes * images.counts["train"] * PIXEL_PASSES
        seconds += 2 * macs * 2 / speed  # in float64
    return seconds, False


def _measuring_seconds(plan: Plan, speed: float) -> float:
    """Each backbone is built, and called for as long as patience lasts, or a few times with a whole batch."""
    patience = Patience()
    calls = patience.warm_up + patience.fewest
    each = [2 * calls * THROUGHPUT_BATCH * (backbone.num_macs or 0) / speed for backbone in plan.backbones]
    shortest = BUILDING_SECONDS + 2 * patience.seconds
    return START_SECONDS["measure"] + sum(max(shortest, BUILDING_SECONDS + seconds) for seconds in each)


def _cell_disk_bytes(config: CellConfig, images: Images) -> float:
    stored = stored_bytes(config) if earlier_choice(config, images) else None
    activations = arithmetic.activation_bytes(config, images) if stored is None else stored
    trained = config.backbone.num_parameters or 0 if arithmetic.has_suffix(config.strategy) else 0
    head = config.backbone.feature_dim * images.num_classes
    models = len(config.benchmark.seeds) * (trained + head) * FLOAT_BYTES
    return COPIES_ON_DISK * (activations + models)


def _pixel_bytes(images: Images) -> float:
    return COPIES_ON_DISK * images.num_images * 3 * images.stored_pixels**2


def cell_bytes(plan: Plan, images: Images) -> list[float]:
    """Return the memory that each cell takes at its peak: as an earlier run measured it, else as estimated."""
    sizes = []
    for config in plan.cells:
        measured = measured_cost(cell_of(config)).peak_memory_bytes
        is_known = measured is not None and earlier_choice(config, images) is not None
        size_of_one = measured if measured is not None and is_known else _process_bytes(config, images)
        sizes.append(plan.num_processes_of_a_cell * size_of_one)
    return sizes


def _process_bytes(config: CellConfig, images: Images) -> float:
    """Estimate the largest process of a cell: its libraries, weights, the widest layers of a batch, kept features."""
    backbone, strategy = config.backbone, config.strategy
    weights = (backbone.num_parameters or 0) * FLOAT_BYTES
    layer = backbone.input_size_pixels**2 * WIDEST_CHANNELS * (backbone.width or 1.0) * FLOAT_BYTES
    embed = weights + EMBED_BATCH * ALIVE_LAYERS * layer
    if not arithmetic.has_suffix(strategy):
        return PROCESS_BYTES + embed
    share = arithmetic.suffix_macs(config) / (backbone.num_macs or 1)
    features = arithmetic.stored_rows(strategy, images) * backbone.feature_dim * FLOAT_BYTES
    train = COPIES_OF_WEIGHTS * weights + strategy.batch_size * TRAINED_LAYERS * layer * min(1.0, share) + features
    return PROCESS_BYTES + max(embed, train)
