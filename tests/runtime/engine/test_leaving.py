"""Workers and stages that are asked to leave: every epoch that is done is kept, and nobody is blamed."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import psutil
import pytest

from backbench.runtime.engine.engine import Run, running
from backbench.runtime.engine.workers import THIS_PROCESS
from backbench.runtime.interruption import STOP_SIGNALS
from tests.support.engine_workers import wait_until, workers_in
from tests.support.toy_tasks import epochs_of, opened

Start = Callable[[], "subprocess.Popen[str]"]
NUM_TASKS, NUM_EPOCHS = 2, 40
STAGE = f"""
from functools import partial
from pathlib import Path
from backbench.runtime.engine.engine import running
from tests.support.engine_workers import TWO_LOCAL
from tests.support.toy_tasks import opened

with running("stage", TWO_LOCAL, partial(opened, Path.cwd())) as run:
    print(sorted(run({{f"task {{n}}": ("counted", n, {NUM_EPOCHS}, 0.1) for n in range({NUM_TASKS})}})))
"""


def test_a_workers_task_goes_on_elsewhere_from_its_epoch_however_often_workers_leave(
    run: Run, shared_place: Path
) -> None:
    times = {5: signal.SIGTERM, 30: signal.SIGUSR1, 55: signal.SIGUSR2}  # three deaths would be blamed on it
    assert dict(run({"task": ("counted", 3, 80, 0.04, times)})) == {"task": 240}
    ran = epochs_of(shared_place, 3)
    assert [epoch for _, epoch in ran] == list(range(1, 81)), "each epoch once"
    assert len({process for process, _ in ran}) == 1 + len(times)


def test_a_worker_whose_idle_process_was_killed_leaves_too(run: Run, shared_place: Path) -> None:
    ((_, process),) = run({"task": ("process",)})
    worker = psutil.Process(process).parent()
    assert worker is not None
    os.kill(process, signal.SIGKILL)
    worker.terminate()
    assert not psutil.wait_procs([worker], 20)[1]
    assert dict(run({"task": ("square", 3)})) == {"task": 9}


@pytest.fixture
def start(place: Path) -> Iterator[Start]:
    """Start a stage, a process of its own, whose tasks two workers run."""
    with ExitStack() as started:

        def start() -> "subprocess.Popen[str]":
            command = [sys.executable, "-c", STAGE]
            stage = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
            started.enter_context(stage)
            started.callback(stage.kill)
            return stage

        yield start


def is_under_way(place: Path) -> bool:
    return all(len(epochs_of(place, number)) >= 2 for number in range(NUM_TASKS))


def test_a_stage_that_is_asked_to_leave_keeps_every_epoch_and_goes_on_when_started_again(
    place: Path, start: Start
) -> None:
    first = start()
    wait_until(lambda: is_under_way(place))
    workers = list(workers_in(place).values())
    first.send_signal(signal.SIGTERM)
    said, _ = first.communicate()
    assert first.returncode == -signal.SIGTERM, "which a shell calls 143"
    assert "stage: was asked to leave; start this again and it goes on where it was\n" in said
    assert not psutil.wait_procs(workers, 60)[1]
    left = [len(epochs_of(place, number)) for number in range(NUM_TASKS)]
    assert all(2 <= num_epochs < NUM_EPOCHS for num_epochs in left)
    said, _ = start().communicate()
    assert said.endswith(f"{[(f'task {number}', number * NUM_EPOCHS) for number in range(NUM_TASKS)]}\n")
    for number in range(NUM_TASKS):
        assert [epoch for _, epoch in epochs_of(place, number)] == list(range(1, NUM_EPOCHS + 1))


@pytest.mark.system
def test_a_stage_whose_workers_are_asked_to_leave_with_it_leaves_too(place: Path, start: Start) -> None:
    """As where a machine shuts down, or a batch system ends a job of all of them."""
    first = start()
    wait_until(lambda: is_under_way(place))
    workers = list(workers_in(place).values())
    for process in (*workers, first):
        process.send_signal(signal.SIGTERM)
    first.communicate(timeout=60)
    assert first.returncode == -signal.SIGTERM
    assert not psutil.wait_procs(workers, 60)[1]
    for number in range(NUM_TASKS):
        assert [epoch for _, epoch in epochs_of(place, number)] == list(range(1, 1 + len(epochs_of(place, number))))


@pytest.mark.parametrize("number", STOP_SIGNALS, ids=lambda number: number.name)
def test_a_stage_that_runs_its_own_tasks_leaves_between_two(
    place: Path, number: signal.Signals, capsys: pytest.CaptureFixture[str]
) -> None:
    def leave_after_the_first() -> None:
        with running("stage", THIS_PROCESS, partial(opened, place)) as run:
            for name, _ in run({f"task {each}": ("square", each) for each in range(3)}):
                print(name)
                signal.raise_signal(number)

    before = signal.signal(number, signal.SIG_IGN)
    try:
        with pytest.raises(SystemExit) as ended:
            leave_after_the_first()
    finally:
        assert signal.signal(number, before) == signal.SIG_IGN
    assert ended.value.code == 128 + number
    assert capsys.readouterr().out.splitlines() == [
        "task 0",
        "stage: was asked to leave; start this again and it goes on where it was",
    ]
