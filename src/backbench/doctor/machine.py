"""The machine: processors, memory, disk, GPUs, and how fast it multiplies; read from the system, not from a library."""

import importlib.metadata
import math
import shutil
import time
from dataclasses import dataclass

import numpy as np
from packaging.requirements import Requirement
from threadpoolctl import threadpool_limits

from backbench.doctor.finding import Finding, ready, warning
from backbench.hardware import Gpu, free_memory_bytes, gpus, num_cores
from backbench.installation import installed
from backbench.units import size

# Small enough that some of the products are not interrupted, however busy the machine is.
MATRIX_SIDE = 512
SPEED_SECONDS = 0.25


@dataclass(frozen=True)
class Machine:
    """What a run may use. `flops_per_second` is float32, of all cores together."""

    num_cores: int
    free_memory_bytes: int | None
    free_disk_bytes: int
    gpus: tuple[Gpu, ...]
    flops_per_second: float


def this_machine() -> Machine:
    """Look at this machine, in the working directory; half a second."""
    return Machine(
        num_cores=num_cores(),
        free_memory_bytes=free_memory_bytes(),
        free_disk_bytes=shutil.disk_usage(".").free,
        gpus=gpus(),
        flops_per_second=flops_per_second(),
    )


def flops_per_second() -> float:
    """Multiply float32 matrices on one thread for a quarter of a second; return the best rate, times the cores.

    Threads that wait for each other would make another process that computes look like a slow machine.
    """
    matrix = np.ones((MATRIX_SIDE, MATRIX_SIDE), dtype=np.float32)
    best, end = math.inf, time.perf_counter() + SPEED_SECONDS
    with threadpool_limits(1):
        while best == math.inf or time.perf_counter() < end:
            started = time.perf_counter()
            matrix @ matrix
            best = min(best, time.perf_counter() - started)
    return num_cores() * 2 * MATRIX_SIDE**3 / best


def machine_findings(machine: Machine) -> list[Finding]:
    """Say what there is; whether it is enough, the cost says."""
    memory = "unknown" if machine.free_memory_bytes is None else f"{size(machine.free_memory_bytes)} free"
    speed = f"{machine.flops_per_second / 10**9:.0f} GFLOP/s in float32 matrix products"
    return [
        ready("processor", f"{machine.num_cores} cores, {speed}"),
        _gpu_finding(machine.gpus),
        ready("memory", memory),
        ready("disk", f"{size(machine.free_disk_bytes)} free"),
    ]


def _gpu_finding(found: tuple[Gpu, ...]) -> Finding:
    if not found:
        return ready("GPU", "none: runs on the CPU")
    names = ", ".join(_spelled(gpu) for gpu in found)
    absent = [name for name in _cuda_packages() if installed(name) is None]
    if absent:
        advice = "run `make repro GPU=yes`, which installs them"
        return warning("GPU", f"{names}; TensorFlow cannot use it without {', '.join(absent[:3])}", advice)
    return ready("GPU", names)


def _spelled(gpu: Gpu) -> str:
    if gpu.memory_bytes is None or gpu.free_bytes is None:
        return gpu.name
    return f"{gpu.name}, {size(gpu.free_bytes)} of {size(gpu.memory_bytes)} free"


def _cuda_packages() -> list[str]:
    """Name the packages that TensorFlow brings CUDA by, as its own metadata lists them."""
    try:
        asked = map(Requirement, importlib.metadata.requires("tensorflow") or ())
    except importlib.metadata.PackageNotFoundError:
        return []
    extra = "and-cuda"
    wanted = (one for one in asked if one.marker and extra in str(one.marker) and one.marker.evaluate({"extra": extra}))
    return [one.name for one in wanted]
