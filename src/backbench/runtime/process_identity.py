"""Naming a process so that another one, later, can say whether it still lives."""

import os
from pathlib import Path

PROC = Path("/proc")


def process_name() -> str:
    """Name this process: the kernel that it runs on, its id, and when it started, for ids are given again."""
    return f"{_kernel()}:{os.getpid()}:{_started(os.getpid())}"


def has_ended(process: str) -> bool:
    """Say whether a process has ended for certain; false also where it cannot be known, as on another machine."""
    kernel, number, started = process.split(":")[:3]
    return kernel == _kernel() and _started(int(number)) != started


def _kernel() -> str:
    """Name what process ids are unique in: a boot of a kernel, and a namespace of processes in it."""
    boot = (PROC / "sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    return f"{boot}/{(PROC / 'self/ns/pid').readlink()}".replace(":", "")


def _started(process: int) -> str:
    """Return when a process started, in ticks since boot; empty where it has ended."""
    try:
        fields = (PROC / str(process) / "stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] in "ZX" else fields[19]
