"""A scheduler that runs already, whose workers several stages share."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import psutil
import pytest

from backbench.runtime.engine.engine import running
from backbench.runtime.engine.scheduler import scheduler
from backbench.runtime.engine.worker_pool import MODULE
from backbench.runtime.engine.workers import Workers
from backbench.runtime.errors import WorkerError
from tests.support.engine_workers import TWO_LOCAL
from tests.support.toy_tasks import opened

SHARED = Workers(name="address", scheduler="work/cluster")


@pytest.fixture(scope="module")
def cluster(shared_place: Path) -> Iterator[None]:
    """A scheduler of its own with one worker, which was started by hand."""
    folder = shared_place / "work/cluster"
    with ExitStack() as started, scheduler(folder, TWO_LOCAL, most_deaths=3):
        command = [sys.executable, "-m", MODULE, str(folder), "0"]
        worker = started.enter_context(subprocess.Popen(command, stderr=subprocess.DEVNULL))
        started.callback(worker.kill)
        yield
    assert worker.returncode is not None


@pytest.mark.usefixtures("cluster")
def test_each_stage_has_a_fresh_process_and_keeps_it(shared_place: Path) -> None:
    of_stages = []
    for number in range(2):
        with running(f"stage {number}", SHARED, partial(opened, shared_place)) as run:
            of_stages.append({record for _ in range(2) for _, record in run({"task": ("process",)})})
    (first,), (second,) = of_stages
    assert first != second
    assert not psutil.pid_exists(first), "its memory is given back"


@pytest.mark.usefixtures("cluster")
def test_two_stages_at_once_each_have_their_own_records(shared_place: Path) -> None:
    tasks = [{f"task {number}": ("square", start + number) for number in range(2)} for start in (0, 10)]
    with (
        running("one stage", SHARED, partial(opened, shared_place)) as one,
        running("another", SHARED, partial(opened, shared_place)) as other,
    ):
        pairs = list(zip(one(tasks[0]), other(tasks[1]), strict=True))
    for records, start in zip(zip(*pairs, strict=True), (0, 10), strict=True):
        assert dict(records) == {f"task {number}": (start + number) ** 2 for number in range(2)}


@pytest.mark.system
@pytest.mark.usefixtures("cluster")
def test_a_stage_that_is_asked_to_leave_leaves_the_workers_to_others(shared_place: Path) -> None:
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        with pytest.raises(SystemExit):
            _leave_in_the_middle(shared_place)
    finally:
        signal.signal(signal.SIGTERM, before)
    with running("another", SHARED, partial(opened, shared_place)) as run:
        assert dict(run({"task": ("square", 3)})) == {"task": 9}


def _leave_in_the_middle(folder: Path) -> None:
    with running("one stage", SHARED, partial(opened, folder)) as run:
        for _ in run({"first": ("square", 1), "second": ("counted", 1, 1000, 0.1), "third": ("square", 3)}):
            signal.raise_signal(signal.SIGTERM)


@pytest.mark.parametrize("left", ["nothing", "certificate", "address"])
def test_a_scheduler_that_is_not_there_is_asked_for(place: Path, left: str) -> None:
    folder = place / "work/cluster"
    folder.mkdir(parents=True)
    if left == "certificate":
        (folder / "certificate.pem").touch()
    if left == "address":
        (folder / "scheduler.json").touch()
    expected = (
        "expected the address and the certificate of a scheduler in work/cluster, found none; start `make cluster`"
    )
    with pytest.raises(WorkerError, match=expected), running("stage", SHARED, partial(opened, place)) as run:
        dict(run({"task": ("square", 3)}))


@pytest.mark.system
def test_a_scheduler_that_was_killed_is_to_be_started_again(place: Path) -> None:
    program = (
        "from pathlib import Path; from backbench.runtime.engine.scheduler import scheduler;"
        "from tests.support.engine_workers import TWO_LOCAL;"
        "\nwith scheduler(Path('work/cluster'), TWO_LOCAL, most_deaths=3): print('runs', flush=True); input()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "runs\n"
        other.kill()
    expected = "expected the scheduler of work/cluster to answer, found: .*; start `make cluster` again"
    with pytest.raises(WorkerError, match=expected), running("stage", SHARED, partial(opened, place)) as run:
        dict(run({"task": ("square", 3)}))
