"""How many cells run at once: by cores, quota, memory, GPUs and threads, or as the user says."""

import shutil
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest

from backbench.cli.doctor import machine
from backbench.cli.doctor.cost import cell_bytes
from backbench.cli.doctor.images import Images
from backbench.cli.doctor.machine import Machine, MachinePlan, machine_plan, plan_for_this_machine
from backbench.cli.doctor.plan import Plan, read_plan
from backbench.config.running_config import WorkersConfig
from backbench.runtime import paths
from backbench.runtime.hardware import Gpu
from tests.support.benchmark_cells import IMAGES, leave_earlier_run, one_cell
from tests.support.clock import computed
from tests.support.configs import PROJECT, strategy_config

GIGABYTE = 10**9
ROOMY = Machine(16, 500 * GIGABYTE, 500 * GIGABYTE, {})
H100 = Gpu("H100", None, None)


@pytest.fixture(autouse=True)
def _project(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(PROJECT)


@pytest.fixture
def with_cuda(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("backbench.cli.doctor.machine.lacking_for_gpu", tuple)


@cache
def shipped_plan() -> Plan:
    return read_plan()


def of_cells(num_cells: int, *, threads: int = 1, workers: WorkersConfig | None = None) -> Plan:
    shipped = shipped_plan()
    benchmark = replace(shipped.one.benchmark, threads=threads)
    cells = tuple(replace(cell, benchmark=benchmark) for cell in (shipped.cells * num_cells)[:num_cells])
    return Plan(cells, workers or shipped.workers)


def planned(plan: Plan, machine: Machine = ROOMY, jobs: int | None = None, images: Images = IMAGES) -> MachinePlan:
    return machine_plan(plan, images, machine, jobs=jobs)


@pytest.mark.parametrize(
    ("num_cells", "threads", "cores", "expected"),
    [(10, 1, 16, 10), (10, 1, 2, 2), (20, 1, 16, 16), (10, 4, 16, 4), (10, 3, 16, 5), (10, 8, 2, 1), (10, 0, 16, 1)],
)
def test_there_are_as_many_as_the_cores_have_threads_for(
    num_cells: int, threads: int, cores: int, expected: int
) -> None:
    found = planned(of_cells(num_cells, threads=threads), replace(ROOMY, num_cores=cores))
    assert (found.num_cells_at_once, found.gpus) == (expected, ())
    assert found.lines[0].startswith(f"cells at once: {expected} of {num_cells}, ")


def test_no_more_run_than_fit_into_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "cell_bytes", lambda plan, images: [GIGABYTE, 4 * GIGABYTE, GIGABYTE, GIGABYTE])
    for free, expected in ((20, 4), (7, 3), (6, 2), (4, 1), (1, 1)):
        assert planned(of_cells(4), replace(ROOMY, free_memory_bytes=free * GIGABYTE)).num_cells_at_once == expected
    assert planned(of_cells(4), replace(ROOMY, free_memory_bytes=None)).num_cells_at_once == 4
    line = planned(of_cells(4), replace(ROOMY, free_memory_bytes=6 * GIGABYTE)).lines[0]
    assert line == "cells at once: 2 of 4, 6 GB of memory free, a cell takes up to 4 GB"


def test_memory_that_even_one_cell_lacks_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "cell_bytes", lambda plan, images: [4 * GIGABYTE] * 2)
    alone = planned(of_cells(2), replace(ROOMY, free_memory_bytes=3 * GIGABYTE)).lines[1]
    assert alone.startswith("memory: about 4 GB for 1 at once, 3 GB free; end what else runs here")
    asked = planned(of_cells(2), replace(ROOMY, free_memory_bytes=5 * GIGABYTE), jobs=2).lines[1]
    assert asked == "memory: about 8 GB for 2 at once, 5 GB free; run fewer at once: `make repro JOBS=1`"


def test_what_the_same_cell_took_goes_before_an_estimate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config, prepared = one_cell(strategy_config("feature_extraction")), replace(IMAGES, digest="d")
    monkeypatch.chdir(tmp_path)
    (estimate,) = cell_bytes(Plan((config,)), prepared)
    leave_earlier_run(config, data="d")
    shutil.rmtree(paths.COMPUTE)
    assert cell_bytes(Plan((config,)), prepared) == [estimate]
    for stage, peak in (("embed", 5), ("sweep", 7)):
        computed(stage, config.cell, 1.0, peak_memory_bytes=peak * GIGABYTE)
    assert cell_bytes(Plan((config,)), prepared) == [7 * GIGABYTE]
    assert cell_bytes(Plan((config,)), IMAGES) == [estimate]


@pytest.mark.usefixtures("with_cuda")
def test_each_cell_has_a_gpu_of_its_own() -> None:
    found = planned(of_cells(10), replace(ROOMY, gpus={"2": H100, "5": H100}))
    assert (found.num_cells_at_once, found.gpus) == (2, ("2", "5"))
    assert found.lines == ("cells at once: 2 of 10, one per GPU",)
    assert planned(of_cells(1), replace(ROOMY, gpus={"2": H100, "5": H100})).num_cells_at_once == 1


def test_a_gpu_that_the_backend_cannot_use_counts_as_none_and_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("backbench.cli.doctor.machine.lacking_for_gpu", lambda: ("nvidia-cublas-cu12",))
    found = planned(of_cells(10), replace(ROOMY, gpus={"0": H100}))
    assert (found.num_cells_at_once, found.gpus) == (10, ())
    assert found.lines[0].startswith(
        "GPU: H100; tensorflow cannot use it without nvidia-cublas-cu12: runs on the CPU; "
    )
    assert "make repro GPU=yes" in found.lines[0]
    assert "GPU" not in {finding.what for finding in found.findings}  # the doctor has it already


@pytest.mark.usefixtures("with_cuda")
def test_workers_on_this_machine_count_as_cells_do() -> None:
    local = WorkersConfig(name="local", num_workers=4, start="{worker}")
    found = planned(of_cells(10, workers=local))
    assert found.num_cells_at_once == 4
    with_gpus = planned(of_cells(10, workers=local), replace(ROOMY, gpus={"0": H100, "1": H100}))
    assert (with_gpus.num_cells_at_once, with_gpus.gpus) == (1, ())
    one, four = (cell_bytes(of_cells(1, workers=workers), IMAGES)[0] for workers in (None, local))
    assert four == 4 * one


@pytest.mark.usefixtures("with_cuda")
@pytest.mark.parametrize("where", [{"start": "srun {worker}"}, {"scheduler": "f"}])
def test_cells_whose_workers_are_elsewhere_take_no_cores_no_gpus_and_little_memory(where: dict[str, str]) -> None:
    plan = of_cells(10, threads=4, workers=WorkersConfig(name="elsewhere", num_workers=4, **where))  # type: ignore[arg-type]
    for gpus in ({}, {"0": H100}):
        found = planned(plan, replace(ROOMY, num_cores=2, gpus=gpus))
        assert (found.num_cells_at_once, found.gpus) == (8, ())
        assert found.lines == ("cells at once: 8 of 10, whose workers compute elsewhere",)
    assert cell_bytes(plan, IMAGES)[0] < GIGABYTE / 2
    few = replace(plan, cells=plan.cells[:3])
    assert planned(few).lines == ("cells at once: 3 of 3, all of them",)


@pytest.mark.usefixtures("with_cuda")
@pytest.mark.parametrize(("num_workers", "num_idle"), [(1, None), (2, 2), (4, None), (5, None)])
def test_gpus_that_more_workers_would_use_are_told(num_workers: int, num_idle: int | None) -> None:
    local = WorkersConfig(name="local", num_workers=num_workers, start="{worker}")
    found = planned(of_cells(10, workers=local), replace(ROOMY, gpus={str(number): H100 for number in range(4)}))
    told = f"GPUs: {num_idle} of 4 would be idle; `num_workers: 4` in conf/workers/local.yaml would use them"
    assert found.lines[1:] == ((f"{told}; no result changes",) if num_idle else ())
    assert len(found.gpus) == (4 if num_workers == 1 else 0)


@pytest.mark.parametrize(("jobs", "expected"), [(1, 1), (7, 7), (16, 10)])
def test_what_the_user_says_goes_first(jobs: int, expected: int) -> None:
    found = planned(of_cells(10), replace(ROOMY, num_cores=2), jobs=jobs)
    assert found.num_cells_at_once == expected
    assert found.lines[0] == f"cells at once: {expected} of 10, as JOBS says"


@pytest.mark.parametrize(
    ("num_cells", "threads", "line"),
    [
        (1, 1, "cores: 15 of 16 would be idle; `threads: 16` in conf/benchmark.yaml would use them"),
        (3, 2, "cores: 10 of 16 would be idle; `threads: 5` in conf/benchmark.yaml would use them"),
        (10, 1, None),
        (16, 1, None),
        (1, 16, None),
        (1, 20, None),
        (1, 0, None),
    ],
)
def test_idle_cores_are_told_with_the_threads_that_would_use_them(
    num_cells: int, threads: int, line: str | None
) -> None:
    lines = planned(of_cells(num_cells, threads=threads)).lines
    told = [told for told in lines if told.startswith("cores: ")]
    assert told == ([f"{line} (results change in the last bits)"] if line else [])


def test_cores_that_more_cells_would_use_are_told_so() -> None:
    assert planned(of_cells(10), jobs=1).lines[1:] == (
        "cores: 15 of 16 would be idle; `make repro JOBS=10` would use more; no result changes",
    )


@pytest.mark.usefixtures("with_cuda")
def test_cores_beside_a_gpu_are_not_called_idle() -> None:
    assert len(planned(of_cells(1), replace(ROOMY, gpus={"0": H100})).lines) == 1


def test_this_machine_is_planned_from_the_files_of_the_project() -> None:
    found = plan_for_this_machine()
    assert 1 <= found.num_cells_at_once <= 10
    assert plan_for_this_machine(jobs=3).num_cells_at_once == 3
