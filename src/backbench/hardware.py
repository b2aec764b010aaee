"""Memory and GPUs, read from the system and not from a library that computes."""

import csv
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

MEMINFO = Path("/proc/meminfo")
CGROUP = Path("/sys/fs/cgroup")
DRIVER = Path("/proc/driver/nvidia/gpus")
NVIDIA_SMI = ("nvidia-smi", "--query-gpu=name,memory.total,memory.free", "--format=csv,noheader,nounits")
PATIENCE_SECONDS = 20
MEBIBYTE = 1 << 20


@dataclass(frozen=True)
class Gpu:
    """One GPU; bytes are None where only the driver could be asked."""

    name: str
    memory_bytes: int | None
    free_bytes: int | None


def free_memory_bytes(meminfo: Path = MEMINFO, cgroup: Path = CGROUP) -> int | None:
    """Return what a new process could get: of the system, and of the container where that is less."""
    found = re.search(r"^MemAvailable:\s+(\d+) kB", _text(meminfo), re.MULTILINE)
    rooms = [int(found[1]) * 1024] if found else []
    limit, used = _text(cgroup / "memory.max").strip(), _text(cgroup / "memory.current").strip()
    if limit.isdigit() and used.isdigit():
        rooms.append(max(0, int(limit) - int(used)))
    return min(rooms, default=None)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError:
        return ""


def gpus(driver: Path = DRIVER) -> tuple[Gpu, ...]:
    """Ask nvidia-smi, and where there is none, the driver's files."""
    try:
        done = subprocess.run(NVIDIA_SMI, capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired):
        models = (
            re.search(r"^Model:\s*(.+)$", _text(file), re.MULTILINE) for file in sorted(driver.glob("*/information"))
        )
        return tuple(Gpu(model[1].strip() if model else "GPU", None, None) for model in models)
    if done.returncode != 0:
        return ()
    rows = (row for row in csv.reader(done.stdout.splitlines(), skipinitialspace=True) if len(row) == 3)
    return tuple(Gpu(name, _mebibytes(total), _mebibytes(free)) for name, total, free in rows)


def _mebibytes(text: str) -> int | None:
    return int(text) * MEBIBYTE if text.isdigit() else None
