"""Who runs a trial, and whether it still lives: told without anybody's clock.

On one machine the kernel is asked. Of another machine only heartbeats are seen: a number that its worker raises. A
worker is lost when that number has stood still for too long by the observer's own stopwatch, so that no two clocks are
compared and a clock that is set changes nothing.
"""

import os
import time
import uuid
from collections.abc import Mapping
from pathlib import Path

PROC = Path("/proc")


def owner_name() -> str:
    """Name this process, and one life of a worker in it."""
    return f"{_kernel()}:{os.getpid()}:{_started(os.getpid())}:{uuid.uuid4().hex[:8]}"


def is_gone(owner: str, own: str) -> bool:
    """Say whether an owner's process has ended for certain; false also where it cannot be known.

    Args:
        owner: The name of any owner.
        own: That of the observer's own process.
    """
    kernel, process, started, life = owner.split(":")
    own_kernel, own_process, _, own_life = own.split(":")
    if kernel != own_kernel:
        return False
    if process == own_process:
        return life != own_life
    return _started(int(process)) != started


def _kernel() -> str:
    """Name what process ids are unique in: a boot of a kernel, and a namespace of processes in it."""
    boot = (PROC / "sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    return f"{boot}/{(PROC / 'self/ns/pid').readlink()}".replace(":", "")


def _started(process: int) -> str:
    """Return when a process started, in ticks since boot, for ids are given again; empty where it has ended."""
    try:
        fields = (PROC / str(process) / "stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] in "ZX" else fields[19]


class Heartbeats:
    """What an observer has seen of those who run trials, and for how long nothing new."""

    def __init__(self, lost_after_seconds: float) -> None:
        self._patience = lost_after_seconds
        self._seen: dict[int, tuple[object, float]] = {}

    def silent(self, signs: Mapping[int, object]) -> set[int]:
        """Return whose sign has stood still for too long.

        Args:
            signs: The latest sign of each; those that are missing now are forgotten.
        """
        now = time.monotonic()
        self._seen = {
            key: seen if (seen := self._seen.get(key)) is not None and seen[0] == sign else (sign, now)
            for key, sign in signs.items()
        }
        return {key for key, (_, since) in self._seen.items() if now - since > self._patience}

    def forget(self) -> None:
        """Begin anew, after a time in which nobody could give a sign."""
        self._seen.clear()
