"""Processor, memory and GPUs, read from the system and not from a library that computes.

What the control groups above this process leave it counts: a container, a job of SLURM and a unit of systemd are such
groups, one within another. Each may have a limit; the least that one of them leaves holds. Version 1 of the kernel's
interface has a hierarchy for each controller, version 2 one.
"""

import csv
import math
import os
import platform
import re
import resource
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from backbench.runtime.file_systems import mounts
from backbench.runtime.known_files import known_text

MEMINFO = Path("/proc/meminfo")
CPUINFO = Path("/proc/cpuinfo")
OWN_STATUS = Path("/proc/self/status")
DRIVER = Path("/proc/driver/nvidia/gpus")
# On Windows's own Linux it lies where no PATH leads.
NVIDIA_SMI, NVIDIA_SMI_OF_WSL = "nvidia-smi", "/usr/lib/wsl/lib/nvidia-smi"
NVIDIA_QUERY = ("--query-gpu=name,memory.total,memory.free,uuid", "--format=csv,noheader,nounits")
VISIBLE = "CUDA_VISIBLE_DEVICES"
PATIENCE_SECONDS = 20
MEBIBYTE = 1 << 20
SELF = Path("/proc/self")
# The kernel's documentation: admin-guide/cgroup-v1/memory.rst, scheduler/sched-bwc.rst and admin-guide/cgroup-v2.rst.
# Counts of version 1 leave out the groups below one, but for those of this prefix.
VERSION_2, VERSION_1, VERSION_1_PREFIX = "cgroup2", "cgroup", "total_"
LIMIT_ABOVE_THE_MOUNT = "hierarchical_memory_limit"


@dataclass(frozen=True)
class Gpu:
    """One GPU; bytes are None, and the identifier is empty, where only the driver could be asked."""

    name: str
    memory_bytes: int | None
    free_bytes: int | None
    uuid: str = ""


def processor(cpuinfo: Path = CPUINFO) -> str:
    """Name the processor's model; where the system does not say, its architecture."""
    found = re.search(r"^model name\s*:\s*(.+)$", known_text(cpuinfo), re.MULTILINE)
    return " ".join(found[1].split()) if found else platform.machine()


def num_cores(process: Path = SELF) -> int:
    """Return how many cores this process may use; a share of one, which a quota can leave, counts as one."""
    allowed = len(os.sched_getaffinity(0))
    quota = processor_quota(process)
    return allowed if quota is None else max(1, min(allowed, math.ceil(quota)))


def machine_name() -> str:
    """Name what a machine-dependent figure was measured on: `Intel Xeon, 2 cores, NVIDIA H100`."""
    return ", ".join([processor(), f"{num_cores()} cores", *(gpu.name for gpu in gpus())])


def peak_memory_bytes(status: Path = OWN_STATUS) -> int:
    """Return this process's largest resident set.

    Read from `VmHWM`, for `ru_maxrss` is handed on by the process that started this one: under DVC it would never be
    less than DVC's own.
    """
    found = re.search(r"^VmHWM:\s+(\d+) kB", known_text(status), re.MULTILINE)
    kibibytes = int(found[1]) if found else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return kibibytes * 1024


def free_memory_bytes(meminfo: Path = MEMINFO, process: Path = SELF) -> int | None:
    """Return what a new process could get: of the system, and of every control group above it where that is less."""
    found = re.search(r"^MemAvailable:\s+(\d+) kB", known_text(meminfo), re.MULTILINE)
    rooms = [int(found[1]) * 1024 if found else None, memory_room_bytes(process)]
    return min((room for room in rooms if room is not None), default=None)


def gpus(driver: Path = DRIVER) -> tuple[Gpu, ...]:
    """Ask nvidia-smi, and where there is none, the driver's files."""
    command = (shutil.which(NVIDIA_SMI) or NVIDIA_SMI_OF_WSL, *NVIDIA_QUERY)
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired):
        models = (
            re.search(r"^Model:\s*(.+)$", known_text(file), re.MULTILINE)
            for file in sorted(driver.glob("*/information"))
        )
        return tuple(Gpu(model[1].strip() if model else "GPU", None, None) for model in models)
    if done.returncode != 0:
        return ()
    rows = (row for row in csv.reader(done.stdout.splitlines(), skipinitialspace=True) if len(row) == 4)
    return tuple(Gpu(name, _mebibytes(total), _mebibytes(free), uuid) for name, total, free, uuid in rows)


def visible_gpus(found: Sequence[Gpu], environment: Mapping[str, str]) -> dict[str, Gpu]:
    """Return the GPUs that CUDA would show to a process, by what CUDA_VISIBLE_DEVICES names each.

    Args:
        found: All of the machine.
        environment: Without the variable, all are visible; with an empty one, none is.
    """
    asked = environment.get(VISIBLE)
    if asked is None:
        return {str(number): gpu for number, gpu in enumerate(found)}
    visible: dict[str, Gpu] = {}
    for name in map(str.strip, asked.split(",")):
        gpu = _named(name, found)
        if gpu is None:  # CUDA shows nothing of what comes after it either
            break
        visible[name] = gpu
    return visible


def _named(name: str, found: Sequence[Gpu]) -> Gpu | None:
    """Find a GPU by its number, or by the beginning of its identifier; a part of one is a GPU of its own."""
    if name.isdigit():
        return found[int(name)] if int(name) < len(found) else None
    if name.startswith("MIG-") and found:
        return Gpu("a part of a GPU", None, None, name)
    return next((gpu for gpu in found if name.startswith("GPU-") and gpu.uuid.startswith(name)), None)


def own_gpu(worker: int, environment: Mapping[str, str]) -> str | None:
    """Name the GPU that a worker computes on; None where there is none, or where it is said already.

    Args:
        worker: Its number; workers take GPUs in turn.
        environment: SLURM says in CUDA_VISIBLE_DEVICES what is whose: then that holds; an empty one says nothing.
    """
    if environment.get(VISIBLE):
        return None
    num_gpus = len(gpus())
    return str(worker % num_gpus) if num_gpus else None


def _mebibytes(text: str) -> int | None:
    return int(text) * MEBIBYTE if text.isdigit() else None


def memory_room_bytes(process: Path = SELF) -> int | None:
    """Return what the groups would still give to a new process; None where none says so.

    The page cache counts as free, its active part too, for the kernel drops it before it kills.
    """
    rooms = [
        _group_room(group, limit, "memory.current", "")
        for group in _groups(process, VERSION_2)
        for limit in ("memory.max", "memory.high")  # over the second a process is held up, and hardly gets on
    ]
    rooms += [
        _group_room(group, "memory.limit_in_bytes", "memory.usage_in_bytes", VERSION_1_PREFIX)
        for group in _groups(process, "memory")
    ]
    return min((room for room in rooms if room is not None), default=None)


def processor_quota(process: Path = SELF) -> float | None:
    """Return how many processors' time the groups give to all processes in them; None where none has a quota."""
    pairs = [known_text(group / "cpu.max") for group in _groups(process, VERSION_2)]
    pairs += [
        f"{known_text(group / 'cpu.cfs_quota_us')} {known_text(group / 'cpu.cfs_period_us')}"
        for group in _groups(process, "cpu")
    ]
    # Without a quota the first word is `max`, or -1.
    quotas = [re.fullmatch(r"\s*(\d+)\s+(\d+)\s*", pair) for pair in pairs]
    return min((int(quota[1]) / int(quota[2]) for quota in quotas if quota), default=None)


def _group_room(group: Path, limit: str, used: str, prefix: str) -> int | None:
    most, now = known_text(group / limit).strip(), known_text(group / used).strip()
    if not (most.isdigit() and now.isdigit()):
        return None
    statistics = {name: int(count) for name, count in re.findall(r"(\w+) (\d+)", known_text(group / "memory.stat"))}
    cache = sum(statistics.get(f"{prefix}{part}_file", 0) for part in ("active", "inactive"))
    least = min(int(most), statistics.get(LIMIT_ABOVE_THE_MOUNT, int(most)))
    return max(0, least - max(0, int(now) - cache))


def _groups(process: Path, controller: str) -> Iterator[Path]:
    """Yield the folders of this process's group and of every group above it that can be seen here."""
    path = _group_path(known_text(process / "cgroup"), controller)
    if path is None:
        return
    for mount in mounts(process / "mountinfo"):
        if mount.kind != controller and (mount.kind != VERSION_1 or controller not in mount.options):
            continue
        group = mount.point / path.relative_to(mount.root) if path.is_relative_to(mount.root) else mount.point
        yield group
        yield from (above for above in group.parents if above.is_relative_to(mount.point))


def _group_path(groups: str, controller: str) -> Path | None:
    """Return where a hierarchy has this process, from lines such as `4:memory:/slurm/job_1` and `0::/slurm/job_1`."""
    for line in groups.splitlines():
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if controller in (controllers.split(",") if controllers else [VERSION_2]):
            return Path(path)
    return None
