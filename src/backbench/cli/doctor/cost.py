"""What a run of the whole benchmark would cost: as earlier runs of the very same cells measured it on this machine.

Memory and disk of what has not run are bounded by its configuration. No graph is built, so what lies at a boundary is
bounded by the side and the width that it can have.
"""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from backbench.cli.doctor.images import Images
from backbench.cli.doctor.plan import Plan
from backbench.config.config import CellConfig, resolved
from backbench.config.strategy_config import INPUT, LAST_STAGE, ON_THE_FLY, OUTPUT, StrategyConfig
from backbench.results.compute import EMBED, SWEEP, TRAIN, read_compute
from backbench.results.compute import STAGES as CELL_STAGES
from backbench.results.records import BestRecord, fingerprint
from backbench.results.result_files import read_best, read_metrics
from backbench.runtime import paths
from backbench.runtime.errors import BackbenchError
from backbench.runtime.installation import backend
from backbench.runtime.known_files import known_json

# Without `measure`, one more that no cell has: where all was measured already, its last process took no time.
STAGES = ("size", "boundaries", "backbones", "prepare", "baseline", *CELL_STAGES, "compare")
SHARED_STAGES = tuple(stage for stage in STAGES if stage not in CELL_STAGES)
STAGE = re.compile(r"stage_(\d+)")
# What ends before the last stage of a convolutional network works at 1/16 of the input's side.
LAST_STAGE_STRIDE, LEAST_STRIDE = 16, 4
FLOAT_BYTES = 4
BYTES = {"float16": 2, "float32": 4}
# A process that has imported all and holds a small model (docs/performance.md, Memory).
PROCESS_BYTES = 10**9
# A stage that only waits for workers elsewhere.
WAITING_BYTES = 0.4 * 10**9
EMBED_BATCH, ALIVE_LAYERS, WIDEST_CHANNELS, TRAINED_LAYERS = 128, 3, 64, 10
# Weights, their gradient, two moments of AdamW, the values to start from, and those of the best epoch.
COPIES_OF_WEIGHTS = 6
COPIES_ON_DISK = 2  # DVC keeps one


@dataclass(frozen=True)
class StageCost:
    """Seconds that the measured ones of all processes of one kind of stage took, added up."""

    seconds: float
    num_processes: int
    num_measured: int


@dataclass(frozen=True)
class Cost:
    """A run of everything, as if nothing were done yet.

    `unmeasured` are DVC's names of stages that measure what is not known yet, and `wall_seconds` None while there are
    any.
    """

    num_cells: int
    num_stages: int
    num_trials: int
    num_final_fits: int
    jobs: int
    stages: Mapping[str, StageCost]
    unmeasured: Sequence[str]
    wall_seconds: float | None
    disk_bytes: float
    memory_bytes: float


def cost_of_run(plan: Plan, images: Images, *, jobs: int) -> Cost:
    """Gather what a run with `jobs` cells side by side takes."""
    earlier = {config.cell: earlier_run(config, images) for config in plan.cells}
    of_backbones = [
        [run for cell, run in earlier.items() if cell.backbone == backbone.name] for backbone in plan.backbones
    ]
    took: dict[str, list[float | None]] = {
        stage: [measured_seconds(stage) if images.digest is not None else None] for stage in SHARED_STAGES
    }
    took[EMBED] = [_pass_seconds(runs) for runs in of_backbones]
    took |= {stage: [run.seconds.get(stage) for run in earlier.values()] for stage in (SWEEP, TRAIN)}
    unmeasured = [f"{TRAIN}@{cell}" for cell, run in earlier.items() if run.seconds.keys() != set(CELL_STAGES)]
    unmeasured += [stage for stage in SHARED_STAGES if None in took[stage]]
    stages = {stage: _added(took[stage]) for stage in STAGES}
    in_all = sum(sum(run.seconds.values()) for run in earlier.values())
    side_by_side = max(in_all / jobs, *map(_least_seconds, of_backbones))
    one_by_one = sum(stages[stage].seconds for stage in SHARED_STAGES)
    on_disk = sum(disk_bytes(config, images, earlier[config.cell]) for config in plan.cells)
    num_searches = len(plan.cells) * (plan.one.dataset.folds or 1)
    return Cost(
        num_cells=len(plan.cells),
        num_stages=sum(map(len, took.values())) + 1,  # measure
        num_trials=num_searches * plan.one.search.num_trials,
        num_final_fits=num_searches * len(plan.one.benchmark.seeds),
        jobs=jobs,
        stages=stages,
        unmeasured=unmeasured,
        wall_seconds=None if unmeasured else side_by_side + one_by_one,
        disk_bytes=on_disk + pixel_bytes(images),
        memory_bytes=sum(sorted(cell_bytes(plan, images), reverse=True)[:jobs]),
    )


def _pass_seconds(runs: Sequence["EarlierRun"]) -> float | None:
    """Return what the pass of a backbone took, of which each cell has a share; None where a share is not known."""
    shares = [run.seconds.get(EMBED) for run in runs]
    return None if None in shares else sum(share for share in shares if share is not None)


def _least_seconds(runs: Sequence["EarlierRun"]) -> float:
    """Return what a backbone takes at least, whatever runs beside it: its pass, and then its longest cell."""
    return (_pass_seconds(runs) or 0.0) + max(run.seconds.get(SWEEP, 0.0) + run.seconds.get(TRAIN, 0.0) for run in runs)


def _added(seconds: Sequence[float | None]) -> StageCost:
    known = [value for value in seconds if value is not None]
    return StageCost(sum(known), len(seconds), len(known))


@dataclass(frozen=True)
class EarlierRun:
    """Seconds of computing by stage, for the stages that ran; bytes are None where nothing was measured."""

    seconds: Mapping[str, float] = field(default_factory=dict)
    peak_memory_bytes: int | None = None
    activation_bytes: int | None = None


def earlier_run(config: CellConfig, images: Images) -> EarlierRun:
    """Return what the stages of a cell took, where they ran for this configuration, these images and this backend."""
    best = _earlier_choice(config, images)
    if best is None:
        return EarlierRun()
    cell = config.cell
    stages = CELL_STAGES if _has_trained(config, best) else (EMBED, SWEEP)
    known = {stage: compute for stage in stages if (compute := read_compute(stage, cell)) is not None}
    files = [file.stat().st_size for file in cell.activations.rglob("*.npy")]
    return EarlierRun(
        {stage: compute.seconds for stage, compute in known.items()},
        max((compute.peak_memory_bytes for compute in known.values()), default=None),
        sum(files) if files else None,
    )


def measured_seconds(stage: str) -> float | None:
    """Return what the last process of a stage that is of no cell took here, such as `prepare`."""
    seconds = known_json(paths.timing(stage)).get("wall_seconds")
    return float(seconds) if isinstance(seconds, int | float) else None


def _earlier_choice(config: CellConfig, images: Images) -> BestRecord | None:
    try:
        best = read_best(config.cell)
    except BackbenchError:
        return None
    found = replace(config.dataset, image_size_pixels=images.stored_pixels, depth_bits=images.depth_bits)
    configuration = {**resolved(replace(config, dataset=found)), "backend": backend()}
    is_same = fingerprint(configuration, best.digests) == best.cell_key
    return best if is_same and images.digest == best.digests.get("data") else None


def _has_trained(config: CellConfig, best: BestRecord) -> bool:
    """Say whether the final models of a choice were trained, for as many seeds as are wanted."""
    cell = config.cell
    try:
        metrics = read_metrics(cell.metrics, made_by=f"train@{cell}")
    except BackbenchError:
        return False
    return metrics.cell_key == best.cell_key and metrics.num_seeds == len(config.benchmark.seeds)


def cell_bytes(plan: Plan, images: Images) -> list[float]:
    """Return the memory that each cell takes on this machine at its peak."""
    sizes = []
    for config in plan.cells:
        measured = earlier_run(config, images).peak_memory_bytes
        size_of_one = _process_bytes(config, images) if measured is None else measured
        sizes.append(plan.num_processes_of_a_cell * size_of_one or WAITING_BYTES)
    return sizes


def disk_bytes(config: CellConfig, images: Images, earlier: EarlierRun) -> float:
    """Return the disk that a cell takes, DVC's copies included."""
    measured = earlier.activation_bytes
    activations = activation_bytes(config, images) if measured is None else measured
    trained = config.backbone.num_parameters or 0 if _has_suffix(config.strategy) else 0
    head = config.backbone.feature_dim * images.num_classes
    return COPIES_ON_DISK * (activations + len(config.benchmark.seeds) * (trained + head) * FLOAT_BYTES)


def pixel_bytes(images: Images) -> float:
    """Return the disk that prepared images take, DVC's copies included."""
    return COPIES_ON_DISK * images.num_images * 3 * images.stored_pixels**2


def activation_bytes(config: CellConfig, images: Images) -> float:
    """Return at most how much embed stores for a cell; what is over the strategy's limit is not stored."""
    strategy = config.strategy
    values = sum(_values_at(config, boundary) for boundary in strategy.boundaries)
    num_bytes = _stored_rows(strategy, images) * values * BYTES[strategy.activation_dtype]
    return min(num_bytes, strategy.activation_limit_gigabytes * 10**9)


def _stored_rows(strategy: StrategyConfig, images: Images) -> int:
    """Return how many images and views embed keeps: none of train where views are made on the fly."""
    views = 0 if strategy.views == ON_THE_FLY else int(strategy.views)
    if "train" not in images.counts:  # in folds, where each is trained on in its turn
        return max(1, views) * images.num_images
    return views * images.counts["train"] + images.counts["val"] + images.counts["test"]


def _values_at(config: CellConfig, boundary: str) -> float:
    """Bound the values of one image at a boundary: no stage is wider than the features."""
    backbone = config.backbone
    if boundary == OUTPUT:
        return backbone.feature_dim
    if boundary == INPUT:
        return 3 * backbone.input_size_pixels**2
    stage = STAGE.fullmatch(boundary)
    stride = LAST_STAGE_STRIDE if boundary == LAST_STAGE else 2 ** int(stage[1]) if stage else LEAST_STRIDE
    return math.ceil(backbone.input_size_pixels / stride) ** 2 * backbone.feature_dim


def _has_suffix(strategy: StrategyConfig) -> bool:
    """Say whether a part of the backbone may train."""
    return any(boundary != OUTPUT for boundary in strategy.boundaries)


def _process_bytes(config: CellConfig, images: Images) -> float:
    """Bound the largest process of a cell: its libraries, weights, the widest layers of a batch, kept features."""
    backbone, strategy = config.backbone, config.strategy
    weights = (backbone.num_parameters or 0) * FLOAT_BYTES
    layer = backbone.input_size_pixels**2 * WIDEST_CHANNELS * (backbone.width or 1.0) * FLOAT_BYTES
    embed = weights + EMBED_BATCH * ALIVE_LAYERS * layer
    if not _has_suffix(strategy):
        return PROCESS_BYTES + embed
    features = _stored_rows(strategy, images) * backbone.feature_dim * FLOAT_BYTES
    train = COPIES_OF_WEIGHTS * weights + strategy.batch_size * TRAINED_LAYERS * layer + features
    return PROCESS_BYTES + max(embed, train)
