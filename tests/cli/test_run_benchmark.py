"""What `make repro` does around DVC's stages: which cell gets which GPU, and the report that a clone lacks."""

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from backbench.cli import run_benchmark
from backbench.cli.doctor.machine import MachinePlan
from backbench.cli.doctor.plan import read_plan
from backbench.cli.run_benchmark import FAILED, Fits, Heard, failure
from backbench.runtime.paths import Cell
from tests.support.configs import PROJECT

CELLS = [Cell(backbone, strategy) for backbone in ("one", "two", "three") for strategy in ("any", "other")]


@pytest.fixture
def compared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """A folder with the configuration alone, where no stage runs; filled where a comparison is asked for."""
    (tmp_path / "conf").symlink_to(PROJECT / "conf")
    monkeypatch.chdir(tmp_path)
    asked: list[bool] = []
    monkeypatch.setattr(run_benchmark, "compare_again", lambda plan: asked.append(True) or 0)
    monkeypatch.setattr(run_benchmark, "run_stages", lambda *stages, **options: None)
    return asked


def test_a_report_that_is_not_there_is_written_though_no_stage_has_to_run(compared: list[bool]) -> None:
    machine = MachinePlan(1, (), (), ())
    assert run_benchmark.run_benchmark(read_plan(), machine) == 0
    assert compared == [True]


def test_a_report_that_is_there_is_named_last(compared: list[bool], capsys: pytest.CaptureFixture[str]) -> None:
    run_benchmark.REPORT.parent.mkdir()
    run_benchmark.REPORT.touch()
    assert run_benchmark.run_benchmark(read_plan(), MachinePlan(1, (), (), ())) == 0
    assert compared == []
    assert capsys.readouterr().out.splitlines()[-1] == "open report/index.html"


def test_what_runs_at_once_has_a_gpu_each_and_a_failed_backbone_takes_its_own_cells_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: dict[str, str | None] = {}

    def run_stages(*stages: str, gpu: str | None, **options: bool) -> str | None:
        seen[" ".join(stages)] = gpu
        broken = [stage for stage in stages if stage in ("embed@two", "train@three-other")]
        return f"{broken[0]}: it is broken" if broken else None

    monkeypatch.setattr(run_benchmark, "run_stages", run_stages)
    failed = run_benchmark.run_cells(CELLS, MachinePlan(2, ("0", "5"), (), ()))
    assert failed == {
        **dict.fromkeys(("two-any", "two-other"), "embed@two: it is broken"),
        "three-other": "train@three-other: it is broken",
    }
    run = [f"sweep@{cell} train@{cell}" for cell in CELLS if cell.backbone != "two"]
    assert seen.keys() == {"baseline", "embed@one", "embed@two", "embed@three", *run}
    assert set(seen.values()) <= {"0", "5"}
    assert run_benchmark.run_cells(CELLS, MachinePlan(1, (), (), ())) == failed
    assert set(seen.values()) == {None}


def test_cells_begin_when_the_pass_of_their_backbone_has_ended_and_wait_for_no_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ended, cell_ran = set[str](), threading.Event()

    def run_stages(*stages: str, **options: object) -> str | None:
        if stages[0] == "embed@one":
            assert cell_ran.wait(60), "a cell of another backbone"
        if "@" in stages[-1] and len(stages) == 2:
            assert f"embed@{stages[0].split('@')[1].split('-')[0]}" in ended
            cell_ran.set()
        ended.update(stages)
        return None

    monkeypatch.setattr(run_benchmark, "run_stages", run_stages)
    assert run_benchmark.run_cells(CELLS, MachinePlan(2, (), (), ())) == {}
    assert ended == {"baseline", "embed@one", "embed@two", "embed@three"} | {
        f"{stage}@{cell}" for stage in ("sweep", "train") for cell in CELLS
    }


def test_what_runs_at_once_is_counted_by_the_lines_of_its_stages(monkeypatch: pytest.MonkeyPatch) -> None:
    num_fits = {f"{stage} {cell}": 4 for stage in ("sweep", "train") for cell in CELLS}
    counted: list[int] = []

    def run_stages(*stages: str, heard: Heard, **options: object) -> str | None:
        if "sweep@two-any" in stages:
            before = sum(counted)
            for line in ("sweep two-any: 1/4 trials  val loss 0.1  9 s left", "prepare: 3/4 files    1 s left", "a: b"):
                heard(line)
            assert sum(counted) == before + 1
        return None  # of the others nothing had to run

    monkeypatch.setattr(run_benchmark, "run_stages", run_stages)
    fits = Fits(num_fits, lambda count, detail="": counted.append(count))
    with ThreadPoolExecutor(1) as one:  # cells that end at once would be counted beside the one that is looked at
        monkeypatch.setattr(run_benchmark, "ThreadPoolExecutor", lambda _: one)
        run_benchmark.run_cells(CELLS, MachinePlan(2, (), (), ()), fits)
    assert counted.count(1) == 1
    assert sum(counted) == sum(num_fits.values())


def test_all_that_a_stage_says_of_its_failure_is_the_reason() -> None:
    told = ["error: conf/weights/a.yaml: expected b", "error: conf/backbone/c.yaml: expected d"]
    whole = "embed@one: conf/weights/a.yaml: expected b; conf/backbone/c.yaml: expected d"
    assert failure(["warming up", *told, f"{FAILED}embed@one"]) == whole
    assert failure(["Traceback", "KeyError: 1", f"{FAILED}embed@one"]) == "embed@one: KeyError: 1"
    assert failure([f"{FAILED}embed@one killed by SIGKILL"]) == "embed@one: killed by SIGKILL"
    assert failure([]) == "dvc.yaml: it left no word"


def test_an_interruption_begins_no_further_cell(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    is_shut, shut = threading.Event(), ThreadPoolExecutor.shutdown

    def run_stages(*stages: str, **options: object) -> None:
        seen.append(stages[0])
        if stages[0] == "baseline":
            raise KeyboardInterrupt
        is_shut.wait()  # what has begun ends by the same signal

    def shutdown(pool: ThreadPoolExecutor, wait: bool = True, *, cancel_futures: bool = False) -> None:
        shut(pool, wait=False, cancel_futures=cancel_futures)
        is_shut.set()
        shut(pool, wait=wait)

    monkeypatch.setattr(ThreadPoolExecutor, "shutdown", shutdown)
    monkeypatch.setattr(run_benchmark, "run_stages", run_stages)
    with pytest.raises(KeyboardInterrupt):
        run_benchmark.run_cells(CELLS, MachinePlan(1, (), (), ()))
    assert len(seen) <= 2


def test_where_no_cell_works_nothing_is_compared(
    compared: list[bool], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(run_benchmark, "run_cells", lambda cells, machine: {str(cell): "embed: no" for cell in cells})
    assert run_benchmark.run_benchmark(read_plan(), MachinePlan(1, (), (), ())) == 2
    assert compared == []
    assert "expected a cell that works, found that all failed" in capsys.readouterr().err


@pytest.mark.parametrize("jobs", ["0", "-1"])
def test_fewer_cells_than_one_at_once_are_refused(jobs: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_benchmark.main(["--jobs", jobs]) == 2
    assert capsys.readouterr().err.startswith(f"error: expected JOBS of at least 1, found {jobs}")
