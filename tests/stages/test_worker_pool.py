"""Who runs a cell's trials: this process, what a launcher starts, or somebody else; and how each is left."""

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from backbench.config.running_config import WorkersConfig
from backbench.runtime.paths import Cell, workers_folder
from backbench.search.study_storage import StudyError
from backbench.stages.sweep import worker_pool as module
from backbench.stages.sweep.worker_pool import worker_command, worker_pool
from tests.support.toy_study import QUASI_RANDOM, opened, worker_of

CELL = Cell("tiny", "fine_tuning")
LAUNCHED = WorkersConfig(name="local", num_workers=2, launcher="local")


@pytest.fixture(autouse=True)
def surviving(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A folder of its own, and a process that SIGTERM does not end."""
    monkeypatch.chdir(tmp_path)
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    yield
    signal.signal(signal.SIGTERM, before)


def launching(monkeypatch: pytest.MonkeyPatch, program: str) -> None:
    monkeypatch.setattr(module, "worker_command", lambda *arguments: [sys.executable, "-c", program])
    monkeypatch.setattr(module, "POLL_SECONDS", 0.05)


def wait_until(condition: Callable[[], object]) -> None:
    with worker_pool(CELL, LAUNCHED, (), lambda is_asked: None) as wait:
        while not condition():
            wait(0)


def test_a_sweep_that_is_asked_to_leave_does_so_after_its_batch(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    study = opened(tmp_path, WorkersConfig(name="one"), creating=True)

    def swept() -> None:
        with worker_pool(CELL, WorkersConfig(name="one"), (), lambda is_asked: worker_of(study, QUASI_RANDOM)) as wait:
            os.kill(os.getpid(), signal.SIGTERM)
            wait(0)

    with pytest.raises(SystemExit) as ended:
        swept()
    assert ended.value.code == 128 + signal.SIGTERM
    assert "was asked to leave; start this again" in capsys.readouterr().out


def test_workers_that_end_again_and_again_are_told_of_with_their_last_word(monkeypatch: pytest.MonkeyPatch) -> None:
    launching(monkeypatch, "print('error: expected a partition, found none'); raise SystemExit(3)")
    expected = r"ended 3 times without one, the last time with code 3 \(error: expected a partition, found none\)"
    with pytest.raises(StudyError, match=expected):
        wait_until(lambda: False)
    assert (workers_folder(CELL) / "launcher.log").read_text().count("expected a partition") == 3


def test_workers_on_this_machine_are_asked_to_leave_when_the_sweep_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    # A worker's own process survives its launcher; it is of the same group.
    inner = "import signal, time; open('started', 'w').close(); signal.sigwait({signal.SIGTERM}); open('left', 'w')"
    program = (
        "import signal, subprocess, sys, time; signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM});"
        f"subprocess.Popen([sys.executable, '-c', {inner!r}]);"
        "signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM}); time.sleep(60)"
    )
    launching(monkeypatch, program)
    with pytest.raises(ZeroDivisionError):
        wait_until(lambda: Path("started").exists() and 1 // 0)
    for _ in range(100):
        if Path("left").exists():
            break
        time.sleep(0.1)
    assert Path("left").exists()


def test_who_starts_workers_elsewhere_is_told_their_command_without_secrets(capsys: pytest.CaptureFixture[str]) -> None:
    elsewhere = WorkersConfig(name="elsewhere", num_workers=8)
    given = ["backbone=tiny", "tracking.uri=http://me:not-for-logs@host:5000"]
    with worker_pool(CELL, elsewhere, given, lambda is_asked: None):
        pass
    said = capsys.readouterr().out
    assert "start 8 workers" in said
    assert "backbone=tiny" in said
    assert "worker=0" in said
    assert "not-for-logs" not in said


def test_a_launcher_starts_as_many_workers_as_asked_for() -> None:
    command = worker_command(LAUNCHED, ["backbone=tiny"], Path("logs"))
    assert command[2:] == [
        "--multirun",
        "backbone=tiny",
        "hydra/launcher=local",
        "hydra.sweep.dir=logs",
        "worker=range(2)",
    ]
