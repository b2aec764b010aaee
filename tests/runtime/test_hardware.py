"""What is said of the machine, and of what a process took of it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from backbench.runtime.hardware import (
    Gpu,
    gpus,
    machine_name,
    num_cores,
    own_gpu,
    peak_memory_bytes,
    processor,
    visible_gpus,
)

CPUINFO = "processor\t: 0\nmodel name\t: Xeon(R)  CPU @ 2.10GHz\nprocessor\t: 1\nmodel name\t: other\n"
SHOW_PEAK = "from backbench.runtime.hardware import peak_memory_bytes; print(peak_memory_bytes())"
HUGE = 400 << 20


def test_the_processor_is_named_by_its_model_or_its_architecture(tmp_path: Path) -> None:
    (tmp_path / "cpuinfo").write_text(CPUINFO)
    assert processor(tmp_path / "cpuinfo") == "Xeon(R) CPU @ 2.10GHz"
    assert processor(tmp_path / "missing") == os.uname().machine


def test_a_machine_is_named_with_its_cores_and_every_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("backbench.runtime.hardware.gpus", lambda: (Gpu("H100", None, None), Gpu("T4", None, None)))
    assert machine_name() == f"{processor()}, {num_cores()} cores, H100, T4"


def test_the_peak_is_of_this_process_and_not_of_the_one_that_started_it() -> None:
    held = bytearray(HUGE)
    held[:: 1 << 12] = b"x" * len(range(0, HUGE, 1 << 12))
    shown = subprocess.run([sys.executable, "-c", SHOW_PEAK], capture_output=True, text=True, check=True).stdout
    assert peak_memory_bytes() > len(held)
    assert 1 << 20 < int(shown) < HUGE


def test_where_the_system_says_no_peak_it_is_asked_in_another_way(tmp_path: Path) -> None:
    assert peak_memory_bytes(tmp_path / "missing") > 1 << 20


@pytest.mark.parametrize(
    ("environment", "num_gpus", "expected"),
    [
        ({}, 0, None),
        ({}, 1, "0"),
        ({}, 2, "1"),
        ({"CUDA_VISIBLE_DEVICES": ""}, 4, "3"),
        ({"CUDA_VISIBLE_DEVICES": "2"}, 4, None),
    ],
)
def test_workers_take_gpus_in_turn_unless_somebody_said_which(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], num_gpus: int, expected: str | None
) -> None:
    monkeypatch.setattr("backbench.runtime.hardware.gpus", lambda: (Gpu("fake", None, None),) * num_gpus)
    assert own_gpu(3, environment) == expected


NVIDIA_SMI = """#!/bin/sh
echo 'NVIDIA H100 80GB HBM3, 81559, 81000, GPU-aaaa-1'
echo 'Old, [N/A], [N/A], GPU-bbbb-2'
"""
H100 = Gpu("NVIDIA H100 80GB HBM3", 81559 * 2**20, 81000 * 2**20, "GPU-aaaa-1")
OLD = Gpu("Old", None, None, "GPU-bbbb-2")


def program(path: Path) -> None:
    path.write_text(NVIDIA_SMI)
    path.chmod(0o755)


def test_gpus_are_those_of_nvidia_smi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program(tmp_path / "nvidia-smi")
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    assert gpus(tmp_path) == (H100, OLD)


def test_nvidia_smi_is_found_where_windows_keeps_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program(tmp_path / "of_wsl")
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    monkeypatch.setattr("backbench.runtime.hardware.NVIDIA_SMI_OF_WSL", str(tmp_path / "of_wsl"))
    assert gpus(tmp_path) == (H100, OLD)


def test_without_nvidia_smi_the_driver_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert gpus(tmp_path) == ()
    (tmp_path / "0000:01:00.0").mkdir()
    (tmp_path / "0000:01:00.0/information").write_text("Model: \t\t Tesla T4\nIRQ: 1\n", encoding="utf-8")
    assert gpus(tmp_path) == (Gpu("Tesla T4", None, None),)


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        (None, {"0": H100, "1": OLD}),
        ("", {}),
        ("-1", {}),
        ("NoDevFiles", {}),
        ("1", {"1": OLD}),
        ("1, 0", {"1": OLD, "0": H100}),
        ("0,7,1", {"0": H100}),
        ("GPU-bbbb", {"GPU-bbbb": OLD}),
        ("GPU-cccc", {}),
        ("MIG-dddd", {"MIG-dddd": Gpu("a part of a GPU", None, None, "MIG-dddd")}),
    ],
)
def test_a_process_sees_the_gpus_that_cuda_would_show_it(asked: str | None, expected: dict[str, Gpu]) -> None:
    environment = {} if asked is None else {"CUDA_VISIBLE_DEVICES": asked}
    shown = visible_gpus((H100, OLD), environment)
    assert shown == expected
    assert list(shown) == list(expected)


def test_where_there_is_no_gpu_none_is_visible() -> None:
    assert visible_gpus((), {"CUDA_VISIBLE_DEVICES": "0"}) == {}
    assert visible_gpus((), {"CUDA_VISIBLE_DEVICES": "MIG-dddd"}) == {}
