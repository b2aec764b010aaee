"""Limits of control groups, in folders written as the kernel writes them, and in groups of this machine's kernel."""

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

import pytest

from backbench.runtime.hardware import free_memory_bytes, memory_room_bytes, num_cores, processor_quota

MB = 1 << 20


def process_in(folder: Path, groups: str, mounts: Mapping[str, str]) -> Path:
    """A `/proc/self` whose `cgroup` is `groups`, with a mount for each `root mount system options`."""
    process = folder / "proc"
    process.mkdir()
    (process / "cgroup").write_text(groups)
    lines = [
        f"{number} 23 0:28 {root} {folder / place} rw,relatime shared:9 - {kind}\n"
        for number, ((root, place), kind) in enumerate((key.split(), kind) for key, kind in mounts.items())
    ]
    (process / "mountinfo").write_text("".join(lines))
    return process


def write(group: Path, **files: str) -> None:
    group.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (group / name.replace("__", ".")).write_text(f"{text}\n")


def version_2(folder: Path, group: str = "/slurm/job_1/step_0", root: str = "/") -> Path:
    return process_in(folder, f"0::{group}\n", {f"{root} cgroup": "cgroup2 cgroup2 rw,nsdelegate"})


def test_the_page_cache_is_free_the_part_in_use_too(tmp_path: Path) -> None:
    process = version_2(tmp_path, "/box")
    statistics = f"anon {10 * MB}\nfile {80 * MB}\ninactive_file {50 * MB}\nactive_file {30 * MB}"
    write(tmp_path / "cgroup/box", memory__max=f"{100 * MB}", memory__current=f"{90 * MB}", memory__stat=statistics)
    assert memory_room_bytes(process) == 90 * MB


def test_the_least_of_all_groups_above_counts(tmp_path: Path) -> None:
    process = version_2(tmp_path)
    job = tmp_path / "cgroup/slurm/job_1"
    write(job / "step_0", memory__max="max", memory__current=f"{MB}", cpu__max="max 100000")
    write(job, memory__max=f"{100 * MB}", memory__current=f"{70 * MB}", cpu__max="250000 100000")
    write(job.parent, memory__max=f"{999 * MB}", memory__current=f"{80 * MB}", cpu__max="800000 100000")
    assert memory_room_bytes(process) == 30 * MB
    assert processor_quota(process) == 2.5
    write(job / "step_0", memory__high=f"{5 * MB}")
    assert memory_room_bytes(process) == 4 * MB


def test_version_1_has_a_hierarchy_for_each_controller(tmp_path: Path) -> None:
    groups = "4:memory:/docker/a\n2:cpu,cpuacct:/docker/b\n1:name=systemd:/docker/c\n0::/\n"
    mounts = {
        "/ memory": "cgroup cgroup rw,memory",
        "/ cpu,cpuacct": "cgroup cgroup rw,cpu,cpuacct",
        "/ unified": "cgroup2 cgroup2 rw",
    }
    process = process_in(tmp_path, groups, mounts)
    unlimited = "9223372036854771712"
    write(tmp_path / "memory", memory__limit_in_bytes=unlimited, memory__usage_in_bytes=f"{500 * MB}")
    statistics = f"inactive_file {MB}\ntotal_inactive_file {20 * MB}\ntotal_active_file {5 * MB}"
    write(
        tmp_path / "memory/docker/a",
        memory__limit_in_bytes=f"{100 * MB}",
        memory__usage_in_bytes=f"{60 * MB}",
        memory__stat=statistics,
    )
    write(tmp_path / "cpu,cpuacct/docker/b", cpu__cfs_quota_us="150000", cpu__cfs_period_us="100000")
    write(tmp_path / "cpu,cpuacct", cpu__cfs_quota_us="-1", cpu__cfs_period_us="100000")
    assert memory_room_bytes(process) == 65 * MB
    assert processor_quota(process) == 1.5


@pytest.mark.parametrize(
    ("group", "root"), [("/", "/"), ("/docker/a", "/docker/a"), ("/../../other", "/"), ("/host/path", "/docker/a")]
)
def test_in_a_container_the_mount_is_its_own_group(tmp_path: Path, group: str, root: str) -> None:
    process = version_2(tmp_path, group, root)
    write(tmp_path / "cgroup", memory__max=f"{100 * MB}", memory__current=f"{70 * MB}")
    assert memory_room_bytes(process) == 30 * MB


def test_a_limit_above_what_a_container_sees_is_known_from_its_own_group(tmp_path: Path) -> None:
    process = process_in(tmp_path, "4:memory:/pod/a\n", {"/pod/a memory": "cgroup cgroup rw,memory"})
    write(
        tmp_path / "memory",
        memory__limit_in_bytes="9223372036854771712",
        memory__usage_in_bytes=f"{20 * MB}",
        memory__stat=f"hierarchical_memory_limit {50 * MB}",
    )
    assert memory_room_bytes(process) == 30 * MB


def test_a_place_with_a_space_in_its_name_is_found(tmp_path: Path) -> None:
    process = version_2(tmp_path, "/box")
    mount = tmp_path / "my groups"
    (process / "mountinfo").write_text(
        f"31 23 0:28 / {str(mount).replace(' ', chr(92) + '040')} rw - cgroup2 cgroup2 rw\n"
    )
    write(mount / "box", memory__max=f"{MB}", memory__current="0")
    assert memory_room_bytes(process) == MB


def test_no_group_no_limit_and_a_group_that_is_full(tmp_path: Path) -> None:
    assert memory_room_bytes(tmp_path) is None
    assert processor_quota(tmp_path) is None
    assert num_cores(tmp_path) == len(os.sched_getaffinity(0))
    process = version_2(tmp_path, "/box")
    write(tmp_path / "cgroup/box", memory__max="10", memory__current="11")
    assert memory_room_bytes(process) == 0


def test_the_system_may_have_less_than_a_group_and_a_group_less_than_the_system(tmp_path: Path) -> None:
    meminfo = tmp_path / "meminfo"
    meminfo.write_text("MemTotal: 9000 kB\nMemAvailable:    8000 kB\n", encoding="utf-8")
    process = version_2(tmp_path, "/box")
    assert free_memory_bytes(meminfo, process) == 8_192_000
    write(tmp_path / "cgroup/box", memory__max="5000000", memory__current="1000000")
    assert free_memory_bytes(meminfo, process) == 4_000_000
    write(tmp_path / "cgroup/box", memory__max="50000000", memory__current="1000000")
    assert free_memory_bytes(meminfo, process) == 8_192_000
    assert free_memory_bytes(tmp_path / "absent", tmp_path / "absent") is None


@pytest.mark.parametrize(("quota", "expected"), [("1", 1), ("100000", 1), ("110000", 2), ("99900000", 10**6)])
def test_a_quota_leaves_at_least_one_core_and_never_more_than_there_are(
    tmp_path: Path, quota: str, expected: int
) -> None:
    process = version_2(tmp_path, "/box")
    write(tmp_path / "cgroup/box", cpu__max=f"{quota} 100000")
    assert num_cores(process) == min(expected, len(os.sched_getaffinity(0)))


# The kernel's own

KERNELS = (
    ("", "memory.max", "", {"cpu.max": "50000 100000"}),
    ("memory", "memory.limit_in_bytes", "cpu", {"cpu.cfs_quota_us": "50000"}),
)
READ_AND_TAKE = f"""
import sys
from backbench.runtime.hardware import free_memory_bytes, num_cores
with open(sys.argv[1], "wb") as file:
    file.write(bytes({150 * MB}))
for _ in range(3):
    with open(sys.argv[1], "rb") as file:
        while file.read({MB}):
            pass
free = free_memory_bytes()
held = bytearray({100 * MB})
held[::4096] = b"x" * len(range(0, {100 * MB}, 4096))
print(free, free_memory_bytes(), num_cores())
"""


@pytest.fixture
def entering() -> Iterator[str]:
    """What a shell does to enter a group below one of 200 MB and half a core; skips where none can be made."""
    name, made = f"backbench-test-{os.getpid()}", []
    try:
        for memory, limit, cpu, quotas in KERNELS:
            outer = [Path("/sys/fs/cgroup") / controller / name for controller in {memory: 0, cpu: 0}]
            with suppress(OSError):
                for group in outer:
                    made.append(group)
                    (group / "inner").mkdir(parents=True)
                if not (outer[0] / limit).exists():
                    continue
                (outer[0] / limit).write_text(str(200 * MB))
                for quota, text in quotas.items():
                    (outer[-1] / quota).write_text(text)
                yield "; ".join(f"echo $$ > {group}/inner/cgroup.procs" for group in outer)
                return
        pytest.skip("no control group can be made here: that takes root, and a kernel that lends its controllers")
    finally:
        for group in made:
            for folder in (group / "inner", group):
                with suppress(OSError):
                    folder.rmdir()


def test_what_is_free_in_a_group_of_this_kernel_can_be_taken(entering: str, tmp_path: Path) -> None:
    """150 MB of files that were read lie in the cache of a group of 200 MB; 100 MB more are free, and then not."""
    command = f'{entering}; exec {sys.executable} -c "$0" {tmp_path}/file'
    done = subprocess.run(["sh", "-c", command, READ_AND_TAKE], capture_output=True, text=True, check=True)
    before, after, cores = map(int, done.stdout.split())
    assert 150 * MB < before < 200 * MB
    assert 50 * MB < after < 100 * MB
    assert cores == 1
