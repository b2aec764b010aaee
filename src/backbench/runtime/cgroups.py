"""What the control groups above this process leave it: memory, and processor time.

A container, a job of SLURM and a unit of systemd are such groups, one within another. Each may have a limit; the least
that one of them leaves counts. Version 1 of the kernel's interface has a hierarchy for each controller, version 2 one.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from backbench.runtime.file_systems import mounts
from backbench.runtime.known_files import known_text

SELF = Path("/proc/self")
# The kernel's documentation: admin-guide/cgroup-v1/memory.rst, scheduler/sched-bwc.rst and admin-guide/cgroup-v2.rst.
# Counts of version 1 leave out the groups below one, but for those of this prefix.
VERSION_2, VERSION_1, VERSION_1_PREFIX = "cgroup2", "cgroup", "total_"
LIMIT_ABOVE_THE_MOUNT = "hierarchical_memory_limit"


def memory_room_bytes(process: Path = SELF) -> int | None:
    """Return what the groups would still give to a new process; None where none says so.

    The page cache counts as free, its active part too, for the kernel drops it before it kills.
    """
    rooms = [
        _room(group, limit, "memory.current", "")
        for group in _groups(process, VERSION_2)
        for limit in ("memory.max", "memory.high")  # over the second a process is held up, and hardly gets on
    ]
    rooms += [
        _room(group, "memory.limit_in_bytes", "memory.usage_in_bytes", VERSION_1_PREFIX)
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


def _room(group: Path, limit: str, used: str, prefix: str) -> int | None:
    most, now = known_text(group / limit).strip(), known_text(group / used).strip()
    if not (most.isdigit() and now.isdigit()):
        return None
    statistics = {name: int(count) for name, count in re.findall(r"(\w+) (\d+)", known_text(group / "memory.stat"))}
    cache = sum(statistics.get(f"{prefix}{part}_file", 0) for part in ("active", "inactive"))
    least = min(int(most), statistics.get(LIMIT_ABOVE_THE_MOUNT, int(most)))
    return max(0, least - max(0, int(now) - cache))


def _groups(process: Path, controller: str) -> Iterator[Path]:
    """Yield the folders of this process's group and of every group above it that can be seen here."""
    path = _path(known_text(process / "cgroup"), controller)
    if path is None:
        return
    for mount in mounts(process / "mountinfo"):
        if mount.kind != controller and (mount.kind != VERSION_1 or controller not in mount.options):
            continue
        group = mount.point / path.relative_to(mount.root) if path.is_relative_to(mount.root) else mount.point
        yield group
        yield from (above for above in group.parents if above.is_relative_to(mount.point))


def _path(groups: str, controller: str) -> Path | None:
    """Return where a hierarchy has this process, from lines such as `4:memory:/slurm/job_1` and `0::/slurm/job_1`."""
    for line in groups.splitlines():
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if controller in (controllers.split(",") if controllers else [VERSION_2]):
            return Path(path)
    return None
