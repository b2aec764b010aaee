"""What becomes of jobs, asked of a squeue that is a file; time goes by as the test says."""

import os
import time
from pathlib import Path

import pytest

from backbench.runtime.engine.slurm_queue import ENDED, FORGOTTEN, SELDOM_SECONDS, SlurmQueue

SQUEUE = """#!/bin/sh
echo "$@" >> asked
cat states
"""


class Clock:
    """What stands for the time."""

    now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Clock:
    """A time that stands still, and a squeue that says what the file `states` says."""
    monkeypatch.chdir(tmp_path)
    Path("squeue").write_text(SQUEUE, encoding="utf-8")
    Path("squeue").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    clock = Clock()
    monkeypatch.setattr(time, "monotonic", clock.monotonic)
    return clock


def say(**states: str) -> None:
    lines = [f"{job.removeprefix('_')}|{state}\n" for job, state in states.items()]
    Path("states").write_text("".join(lines), encoding="utf-8")


def num_asked() -> int:
    return len(Path("asked").read_text(encoding="utf-8").splitlines()) if Path("asked").exists() else 0


def test_a_job_has_ended_that_will_not_run_again(clock: Clock) -> None:
    alive = ("PENDING", "CONFIGURING", "RUNNING", "SUSPENDED", "COMPLETING", "REQUEUED", "REQUEUE_HOLD", "STAGE_OUT")
    say(**{f"_{place}": state for place, state in enumerate([*alive, *ENDED])}, _9_1="CANCELLED")
    queue = SlurmQueue()
    assert [queue.how_it_ended(str(place)) for place in range(len(alive))] == [None] * len(alive)
    ended = [queue.how_it_ended(str(len(alive) + place)) for place in range(len(ENDED))]
    assert ended == list(ENDED)
    assert queue.how_it_ended("9_1") == "CANCELLED"
    assert queue.how_it_ended("9_2") == FORGOTTEN
    assert num_asked() == 1, "of all jobs at once"


def test_it_is_asked_soon_after_something_happened_and_then_seldom(clock: Clock) -> None:
    say(_1="RUNNING", _2="COMPLETING", _3="RUNNING")
    queue, asked_at = SlurmQueue(), []
    for _ in range(7200):  # an hour in which a worker is waited for, looked at twice a second
        before = num_asked()
        assert queue.how_it_ended("1") is None
        asked_at += [clock.now - 1000.0] * (num_asked() - before)
        clock.now += 0.5
    assert asked_at[:6] == [0.0, 2.0, 6.0, 14.0, 30.0, 62.0]
    assert len(asked_at) <= 6 + 3600 / SELDOM_SECONDS
    before = num_asked()
    for _ in range(5):  # two more are missed, which were there
        assert [queue.how_it_ended(job) for job in ("1", "2", "3")] == [None] * 3
        clock.now += 0.5
    assert num_asked() == before + 2, "at once, and again after two seconds, of both together"


def test_while_slurm_does_not_answer_no_job_has_ended(clock: Clock) -> None:
    say(_1="RUNNING")
    queue = SlurmQueue()
    assert queue.how_it_ended("1") is None
    Path("states").unlink()
    clock.now += 100.0
    assert queue.how_it_ended("1") is None
    say()
    clock.now += 100.0
    assert queue.how_it_ended("1") == FORGOTTEN


def test_of_jobs_that_were_just_submitted_nothing_is_known(clock: Clock) -> None:
    say(_1="RUNNING")
    queue = SlurmQueue()
    assert queue.how_it_ended("1") is None
    queue.forget()
    assert queue.how_it_ended("2") is None
    clock.now += 2.0
    assert queue.how_it_ended("2") == FORGOTTEN
