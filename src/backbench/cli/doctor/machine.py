"""The machine: processors, memory, disk, GPUs; read from the system, not from a library."""

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass

from backbench.cli.doctor.finding import Finding, ready, warning
from backbench.runtime.gpu_support import how_to_use_gpu, lacking_for_gpu
from backbench.runtime.hardware import VISIBLE, Gpu, free_memory_bytes, gpus, num_cores, visible_gpus
from backbench.runtime.installation import backend
from backbench.runtime.units import size


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
