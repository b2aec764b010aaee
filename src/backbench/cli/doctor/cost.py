"""What a run of the whole benchmark would cost: seconds as they were measured here, bounds of disk and memory."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from backbench.cli.doctor.earlier import earlier_run, measured_seconds
from backbench.cli.doctor.footprint import cell_bytes, disk_bytes, pixel_bytes
from backbench.cli.doctor.images import Images
from backbench.cli.doctor.plan import Plan, cell_of
from backbench.results.compute import STAGES as CELL_STAGES
from backbench.results.compute import TRAIN

# Without `measure`: where all was measured already, its last process took no time.
STAGES = ("size", "prepare", "baseline", *CELL_STAGES, "compare")
SHARED_STAGES = tuple(stage for stage in STAGES if stage not in CELL_STAGES)


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

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def cost_of_run(plan: Plan, images: Images, *, jobs: int) -> Cost:
    """Gather what a run with `jobs` cells side by side takes."""
    earlier = {cell_of(config): earlier_run(config, images) for config in plan.cells}
    took: dict[str, list[float | None]] = {
        stage: [run.seconds.get(stage) for run in earlier.values()]
        if stage in CELL_STAGES
        else [measured_seconds(stage) if images.digest is not None else None]
        for stage in STAGES
    }
    unmeasured = [f"{TRAIN}@{cell}" for cell, run in earlier.items() if run.seconds.keys() != set(CELL_STAGES)]
    unmeasured += [stage for stage in SHARED_STAGES if None in took[stage]]
    stages = {stage: _added(seconds) for stage, seconds in took.items()}
    of_cells = [sum(run.seconds.values()) for run in earlier.values()]
    side_by_side = max(sum(of_cells) / jobs, max(of_cells))
    one_by_one = sum(stages[stage].seconds for stage in SHARED_STAGES)
    on_disk = sum(disk_bytes(config, images, earlier[cell_of(config)]) for config in plan.cells)
    return Cost(
        num_cells=len(plan.cells),
        num_stages=plan.num_stages,
        num_trials=plan.num_trials,
        num_final_fits=plan.num_final_fits,
        jobs=jobs,
        stages=stages,
        unmeasured=unmeasured,
        wall_seconds=None if unmeasured else side_by_side + one_by_one,
        disk_bytes=on_disk + pixel_bytes(images),
        memory_bytes=sum(sorted(cell_bytes(plan, images), reverse=True)[:jobs]),
    )


def _added(seconds: Sequence[float | None]) -> StageCost:
    known = [value for value in seconds if value is not None]
    return StageCost(sum(known), len(seconds), len(known))
