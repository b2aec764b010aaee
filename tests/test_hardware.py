"""What is said of the machine, and of what a process took of it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from backbench.hardware import Gpu, machine_name, num_cores, own_gpu, peak_memory_bytes, processor

CPUINFO = "processor\t: 0\nmodel name\t: Xeon(R)  CPU @ 2.10GHz\nprocessor\t: 1\nmodel name\t: other\n"
SHOW_PEAK = "from backbench.hardware import peak_memory_bytes; print(peak_memory_bytes())"
HUGE = 400 << 20


def test_the_processor_is_named_by_its_model_or_its_architecture(tmp_path: Path) -> None:
    (tmp_path / "cpuinfo").write_text(CPUINFO)
    assert processor(tmp_path / "cpuinfo") == "Xeon(R) CPU @ 2.10GHz"
    assert processor(tmp_path / "missing") == os.uname().machine


def test_a_machine_is_named_with_its_cores_and_every_gpu() -> None:
    name = machine_name((Gpu("H100", None, None), Gpu("T4", None, None)))
    assert name == f"{processor()}, {num_cores()} cores, H100, T4"


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
    monkeypatch.setattr("backbench.hardware.gpus", lambda: (Gpu("fake", None, None),) * num_gpus)
    assert own_gpu(3, environment) == expected
