"""The machine, and how many cells run on it at once: the one place that `make repro` and the doctor ask.

One per GPU where the backend computes on GPUs, else as many as the cores have threads for, and never more than fit into
memory. Where workers elsewhere compute, stages only wait. What the user says, as in `make repro JOBS=4`, goes first.
"""

import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from backbench.cli.doctor.cost import cell_bytes
from backbench.cli.doctor.finding import Finding, Verdict, ready, warning
from backbench.cli.doctor.images import Images, look_at_images
from backbench.cli.doctor.plan import Plan, read_plan
from backbench.runtime.errors import DatasetError
from backbench.runtime.hardware import VISIBLE, Gpu, free_memory_bytes, gpus, num_cores, visible_gpus
from backbench.runtime.installation import backend, how_to_use_gpu, lacking_for_gpu
from backbench.runtime.units import size

# The rest is for the page cache, DVC, and what an estimate misses.
SHARE_OF_MEMORY = 0.9
# Of cells whose workers are elsewhere: each asks for workers of its own, which others may want.
MOST_CELLS_ELSEWHERE = 8
# How many cells one thing leaves room for, and its words for it.
Room = tuple[int, str]


@dataclass(frozen=True)
class Machine:
    """What a run may use. GPUs stand under what CUDA_VISIBLE_DEVICES names each."""

    num_cores: int
    free_memory_bytes: int | None
    free_disk_bytes: int
    gpus: Mapping[str, Gpu]


def this_machine() -> Machine:
    """Look at this machine, in the working directory."""
    return Machine(
        num_cores=num_cores(),
        free_memory_bytes=free_memory_bytes(),
        free_disk_bytes=shutil.disk_usage(".").free,
        gpus=visible_gpus(gpus(), os.environ),
    )


def machine_findings(machine: Machine) -> list[Finding]:
    """Say what there is; whether it is enough, the cost says."""
    memory = "unknown" if machine.free_memory_bytes is None else f"{size(machine.free_memory_bytes)} free"
    return [
        ready("processor", f"{machine.num_cores} cores"),
        gpu_finding(machine.gpus),
        ready("memory", memory),
        ready("disk", f"{size(machine.free_disk_bytes)} free"),
    ]


def gpu_finding(found: Mapping[str, Gpu]) -> Finding:
    """Say whether the backend computes on the GPUs that are visible."""
    if not found:
        return ready("GPU", f"none{f' that {VISIBLE} shows' if VISIBLE in os.environ else ''}: runs on the CPU")
    names = ", ".join(_spelled(gpu) for gpu in found.values())
    absent = lacking_for_gpu()
    if not absent:
        return ready("GPU", names)
    shown = ", ".join(absent[:3])
    return warning("GPU", f"{names}; {backend()} cannot use it without {shown}: runs on the CPU", how_to_use_gpu())


def _spelled(gpu: Gpu) -> str:
    if gpu.memory_bytes is None or gpu.free_bytes is None:
        return gpu.name
    return f"{gpu.name}, {size(gpu.free_bytes)} of {size(gpu.memory_bytes)} free"


@dataclass(frozen=True)
class MachinePlan:
    """How many cells to run at once, on which GPUs, and what a user should know of it.

    Of `gpus`, the k-th cell of those that run at once gets the k-th, modulo their number, as its CUDA_VISIBLE_DEVICES.
    There is none where the backend computes on the CPU, or where the workers of a cell have GPUs by themselves.
    `lines` are for the beginning of a run.
    """

    num_cells_at_once: int
    gpus: tuple[str, ...]
    findings: tuple[Finding, ...]
    lines: tuple[str, ...]


def plan_for_this_machine(jobs: int | None = None) -> MachinePlan:
    """Plan a run of the benchmark of the working directory; `jobs` is what the user says.

    Raises:
        BackbenchError: the benchmark, or its images, cannot be read.
    """
    plan = read_plan()
    findings, images = look_at_images(plan.one.dataset, plan.wanted_pixels)
    if images is None:
        raise DatasetError(*(f"{finding.found}; {finding.advice}" for finding in findings))
    return machine_plan(plan, images, this_machine(), jobs=jobs)


def machine_plan(plan: Plan, images: Images, machine: Machine, *, jobs: int | None = None) -> MachinePlan:
    """Plan a run of all cells of a benchmark on a machine; `jobs` is what the user says."""
    on_gpu = gpu_finding(machine.gpus)
    uses_gpus = bool(machine.gpus) and on_gpu.verdict is Verdict.READY
    sizes = sorted(cell_bytes(plan, images), reverse=True)
    rooms = [
        (len(sizes), "all of them"),
        _computing_room(plan, machine, uses_gpus=uses_gpus),
        _memory_room(sizes, machine),
    ]
    most_cells, reason = min(rooms, key=lambda room: room[0])
    num_cells, reason = (min(jobs, len(sizes)), "as JOBS says") if jobs else (most_cells, reason)
    findings = [ready("cells at once", f"{num_cells} of {len(sizes)}, {reason}")]
    findings += _shortage(sizes[:num_cells], rooms[-1][0], machine)
    if plan.num_processes_of_a_cell:
        findings += _idle_gpus(plan, machine) if uses_gpus else _idle_cores(plan, machine, num_cells, most_cells)
    told = [on_gpu, *findings] if machine.gpus and not uses_gpus else findings
    gpus = tuple(machine.gpus) if uses_gpus and plan.num_processes_of_a_cell == 1 else ()
    return MachinePlan(num_cells, gpus, tuple(findings), tuple(map(_line, told)))


def _line(finding: Finding) -> str:
    return "; ".join(filter(None, [f"{finding.what}: {finding.found}", finding.advice]))


def _computing_room(plan: Plan, machine: Machine, *, uses_gpus: bool) -> Room:
    if not plan.num_processes_of_a_cell:
        return MOST_CELLS_ELSEWHERE, "whose workers compute elsewhere"
    return _gpu_room(plan, machine) if uses_gpus else _core_room(plan, machine)


def _core_room(plan: Plan, machine: Machine) -> Room:
    # A backend that is left alone takes every core.
    threads = (plan.one.benchmark.threads or machine.num_cores) * plan.num_processes_of_a_cell
    each = f"{threads} {'thread' if threads == 1 else 'threads'}"
    return max(1, machine.num_cores // threads), f"{each} each on {machine.num_cores} cores"


def _gpu_room(plan: Plan, machine: Machine) -> Room:
    if plan.num_processes_of_a_cell > 1:
        return 1, "whose workers take the GPUs"
    return len(machine.gpus), "one per GPU"


def _memory_room(sizes: Sequence[float], machine: Machine) -> Room:
    """Fit the largest cells, for nobody knows which ones will meet."""
    if machine.free_memory_bytes is None:
        return len(sizes), "all of them"
    room = SHARE_OF_MEMORY * machine.free_memory_bytes
    num_cells = sum(sum(sizes[: number + 1]) <= room for number in range(len(sizes)))
    reason = f"{size(machine.free_memory_bytes)} of memory free, a cell takes up to {size(sizes[0])}"
    return max(1, num_cells), reason


def _shortage(running: Sequence[float], fitting: int, machine: Machine) -> Iterator[Finding]:
    if machine.free_memory_bytes is None or sum(running) <= machine.free_memory_bytes:
        return
    found = f"about {size(sum(running))} for {len(running)} at once, {size(machine.free_memory_bytes)} free"
    fewer = f"run fewer at once: `make repro JOBS={fitting}`"
    alone = "end what else runs here, or raise accumulation_steps or lower views in conf/strategy/"
    yield warning("memory", found, fewer if fitting < len(running) else alone)


def _idle_gpus(plan: Plan, machine: Machine) -> Iterator[Finding]:
    """Say that workers are fewer than GPUs; where each cell has one process, it has a GPU of its own."""
    num_gpus, num_workers = len(machine.gpus), plan.num_processes_of_a_cell
    if 1 < num_workers < num_gpus:
        advice = f"`num_workers: {num_gpus}` in conf/workers/{plan.workers.name}.yaml would use them; no result changes"
        yield warning("GPUs", f"{num_gpus - num_workers} of {num_gpus} would be idle", advice)


def _idle_cores(plan: Plan, machine: Machine, num_cells: int, most_cells: int) -> Iterator[Finding]:
    """Say how idle cores would be used: by more cells, which changes nothing, or else by more threads."""
    threads = plan.one.benchmark.threads
    num_processes = num_cells * plan.num_processes_of_a_cell
    idle, usable = machine.num_cores - num_processes * threads, machine.num_cores // num_processes
    if not threads or idle <= 0:
        return
    found = f"{idle} of {machine.num_cores} would be idle"
    if num_cells < most_cells:
        yield warning("cores", found, f"`make repro JOBS={most_cells}` would use more; no result changes")
    elif usable > threads:
        advice = f"`threads: {usable}` in conf/benchmark.yaml would use them (results change in the last bits)"
        yield warning("cores", found, advice)
