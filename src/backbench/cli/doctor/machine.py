"""The machine: processors, memory, disk, GPUs, and how fast it multiplies; read from the system, not from a library."""

import math
import os
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from threadpoolctl import threadpool_limits

from backbench.cli.doctor.finding import Finding, ready, warning
from backbench.runtime.gpu_support import how_to_use_gpu, lacking_for_gpu
from backbench.runtime.hardware import VISIBLE, Gpu, free_memory_bytes, gpus, num_cores, visible_gpus
from backbench.runtime.installation import backend
from backbench.runtime.units import size

# Small enough that some of the products are not interrupted, however busy the machine is.
MATRIX_SIDE = 512
SPEED_SECONDS = 0.25


@dataclass(frozen=True)
class Machine:
    """What a run may use. GPUs stand under what CUDA_VISIBLE_DEVICES names each.

    `flops_per_second` is float32, of all cores together.
    """

    num_cores: int
    free_memory_bytes: int | None
    free_disk_bytes: int
    gpus: Mapping[str, Gpu]
    flops_per_second: float


def this_machine() -> Machine:
    """Look at this machine, in the working directory; half a second."""
    return Machine(
        num_cores=num_cores(),
        free_memory_bytes=free_memory_bytes(),
        free_disk_bytes=shutil.disk_usage(".").free,
        gpus=visible_gpus(gpus(), os.environ),
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
