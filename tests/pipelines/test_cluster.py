"""`make cluster`: one scheduler and its workers for many stages, the only one of a checkout, ended in good order."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import psutil
import pytest

from backbench.runtime.engine.engine import Tasks, running
from backbench.runtime.engine.scheduler import run_shared_scheduler
from backbench.runtime.engine.workers import THIS_PROCESS, Workers
from backbench.runtime.errors import WorkerError
from tests.support.configs import PROJECT
from tests.support.engine_workers import wait_until, work_in, workers_in
from tests.support.toy_tasks import epochs_of, opened

COMMAND = [sys.executable, str(PROJECT / "pipelines/cluster.py")]
ADDRESS = Workers(name="address", scheduler="work/cluster")
NUM_EPOCHS = 60


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    work_in(tmp_path, monkeypatch)
    (tmp_path / "conf").symlink_to(PROJECT / "conf")
    return tmp_path


@pytest.fixture
def cluster(place: Path) -> Iterator["subprocess.Popen[str]"]:
    """Two workers of this machine, under a scheduler that Ctrl-C would reach."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    with subprocess.Popen(COMMAND, stdout=subprocess.PIPE, text=True) as process:
        signal.signal(signal.SIGINT, before)
        assert process.stdout is not None
        assert process.stdout.readline().startswith("cluster: its scheduler is in work/cluster; now set `workers: ")
        yield process
        process.kill()


def test_stages_share_its_workers(place: Path, cluster: "subprocess.Popen[str]") -> None:
    opening = partial(opened, place)
    squares = {f"task {number}": ("square", number) for number in range(4)}
    with running("one", ADDRESS, opening) as one, running("other", ADDRESS, opening) as other:
        found = list(zip(one(squares), other(squares), strict=True))
    assert [sorted(records) for records in zip(*found, strict=True)] == [[(f"task {n}", n**2) for n in range(4)]] * 2
    assert sorted(workers_in(place)) == [0, 1]

    second = subprocess.run(COMMAND, capture_output=True, text=True, check=False)
    assert second.returncode == 2
    assert second.stderr.startswith("error: expected no other run in this checkout, found work/cluster.lock held by ")
    assert second.stderr.count("\n") == 1


@pytest.mark.system
def test_ended_in_the_middle_it_keeps_every_epoch_and_stages_find_it_gone(
    place: Path, cluster: "subprocess.Popen[str]"
) -> None:
    def end() -> None:
        wait_until(lambda: all(len(epochs_of(place, number)) >= 2 for number in range(2)))
        cluster.send_signal(signal.SIGINT)

    tasks = {f"task {number}": ("counted", number, NUM_EPOCHS, 0.05) for number in range(2)}
    with ThreadPoolExecutor(1) as pool:
        ending = pool.submit(end)
        with pytest.raises(WorkerError, match="^stage: expected the scheduler to answer, found it gone; see that one"):
            run_all(tasks, ADDRESS, place)
        ending.result()
    workers = list(workers_in(place).values())
    assert cluster.wait(60) == 0
    assert not psutil.wait_procs(workers, 60)[1]
    assert all(2 <= len(epochs_of(place, number)) < NUM_EPOCHS for number in range(2))
    run_all(tasks, THIS_PROCESS, place)
    for number in range(2):
        assert [epoch for _, epoch in epochs_of(place, number)] == list(range(1, NUM_EPOCHS + 1)), "each epoch once"


def run_all(tasks: Tasks, workers: Workers, place: Path) -> None:
    with running("stage", workers, partial(opened, place)) as run:
        list(run(tasks))


def test_a_broken_benchmark_is_one_line(place: Path) -> None:
    (place / "conf").unlink()
    done = subprocess.run(COMMAND, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("error: expected conf/benchmark.yaml, found nothing there")
    assert done.stderr.count("\n") == 1


def test_without_a_scheduler_a_stage_says_what_starts_one(place: Path) -> None:
    with pytest.raises(WorkerError, match="of a scheduler in work/cluster, found none; start `make cluster`, and "):
        run_all({"task": ("square", 2)}, ADDRESS, place)


def test_what_nothing_starts_is_refused(place: Path) -> None:
    with pytest.raises(WorkerError, match="found workers=one; choose others, such as `make cluster WORKERS=local`"):
        run_shared_scheduler(THIS_PROCESS, place)
