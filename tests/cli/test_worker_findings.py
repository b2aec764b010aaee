"""Whether the workers of a benchmark can be started from here, and what `make cluster` starts."""

from pathlib import Path

import pytest

from backbench.cli.doctor.finding import Verdict
from backbench.cli.doctor.plan import workers_to_start
from backbench.cli.doctor.worker_findings import workers_finding
from backbench.runtime.engine.connection import SCHEDULER_FILE
from backbench.runtime.engine.workers import THIS_PROCESS, Workers
from tests.support.configs import PROJECT

SLURM = Workers(name="slurm", start="srun --ntasks=1 {worker}", num_workers=8)


def test_who_runs_the_tasks_of_a_stage_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("shutil.which", lambda program: f"/usr/bin/{program}")
    (tmp_path / SCHEDULER_FILE).touch()
    found = {
        "one: every stage computes in its own process": THIS_PROCESS,
        "mine: up to 2 of a stage, processes on this machine": Workers(name="mine", start="{worker}", num_workers=2),
        "slurm: up to 8 of a stage, each by srun": SLURM,
        f"address: those of the scheduler in {tmp_path}": Workers(name="address", scheduler=str(tmp_path)),
    }
    for expected, workers in found.items():
        finding = workers_finding(workers)
        assert (finding.verdict, finding.found, finding.advice) == (Verdict.READY, expected, "")


def test_what_cannot_be_started_is_missing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("shutil.which", lambda program: None)
    finding = workers_finding(SLURM)
    assert (finding.verdict, finding.found) == (Verdict.MISSING, "slurm: no srun here")
    finding = workers_finding(Workers(name="address", scheduler=str(tmp_path)))
    assert (finding.verdict, finding.found) == (Verdict.MISSING, f"address: no scheduler in {tmp_path}")
    assert "`make cluster`" in finding.advice


@pytest.mark.parametrize(
    ("chosen", "started"),
    [("one", "local"), ("address", "local"), ("local", "local"), ("slurm", "slurm"), ("queue", "queue")],
)
def test_a_cluster_has_the_workers_of_the_benchmark_where_something_starts_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chosen: str, started: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf/workers").symlink_to(PROJECT / "conf/workers")
    text = (PROJECT / "conf/benchmark.yaml").read_text()
    assert "workers: one " in text
    (tmp_path / "conf/benchmark.yaml").write_text(text.replace("workers: one ", f"workers: {chosen} "))
    assert workers_to_start() == started
