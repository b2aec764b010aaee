"""One run at a time in a checkout, and whoever comes second is told who was first."""

import getpass
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from backbench.cli.repro_lock import holders
from tests.faults.conftest import Tried
from tests.support.configs import PROJECT

LOCK = Path("work/repro.lock")
HELD = [sys.executable, "-m", "backbench.cli.repro_lock", str(LOCK)]
# A command as make is: it starts another, which outlives it when it alone is killed.
STARTS_ANOTHER = ["sh", "-c", "sleep 300 & echo $!; wait"]


@pytest.fixture
def first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator["subprocess.Popen[str]"]:
    """A run that holds the lock, and prints the process id of what it started."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(PROJECT / "src"))
    run = subprocess.Popen([*HELD, *STARTS_ANOTHER], stdout=subprocess.PIPE, text=True, start_new_session=True)
    yield run
    with suppress(ProcessLookupError):
        os.killpg(run.pid, signal.SIGKILL)
    run.communicate()


def second() -> "subprocess.CompletedProcess[str]":
    return subprocess.run([*HELD, "true"], capture_output=True, text=True, check=False)


def started_by(run: "subprocess.Popen[str]") -> int:
    assert run.stdout is not None
    return int(run.stdout.readline())


def test_a_second_run_is_refused_in_one_line_that_says_who_holds_the_lock(
    first: "subprocess.Popen[str]", tried: Tried
) -> None:
    started_by(first)
    before = LOCK.read_bytes()
    refused = second()
    assert refused.returncode == 2
    assert refused.stdout == ""
    assert refused.stderr.count("\n") == 1
    assert f"held by {getpass.getuser()} on {socket.gethostname()} since 20" in refused.stderr
    assert f", process {first.pid}; wait until it ends" in refused.stderr
    lost = [] if first.poll() is None and LOCK.read_bytes() == before else ["the first run's lock"]
    tried("a second `make repro`", how="started beside the first, which has to hold the lock on", times=1, lost=lost)


def test_what_a_killed_run_left_running_is_named_until_it_ends(first: "subprocess.Popen[str]") -> None:
    orphan = started_by(first)
    os.kill(first.pid, signal.SIGKILL)
    first.wait()
    refused = second()
    assert refused.returncode == 2
    assert f"process {first.pid}, which has ended and left process {orphan} (sleep 300) running" in refused.stderr
    os.kill(orphan, signal.SIGKILL)
    deadline = time.monotonic() + 60
    while holders(LOCK) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert second().returncode == 0


def test_the_commands_exit_code_is_the_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(PROJECT / "src"))
    assert subprocess.run([*HELD, "sh", "-c", "exit 7"], check=False).returncode == 7


def test_make_repro_takes_the_lock(first: "subprocess.Popen[str]") -> None:
    started_by(first)
    shutil.copy(PROJECT / "Makefile", "Makefile")
    command = ["make", "-o", ".venv/ready", "repro", f"BIN={Path(sys.executable).parent}"]
    refused = subprocess.run(command, capture_output=True, text=True, check=False)
    assert refused.returncode == 2
    assert "expected no other run in this checkout" in refused.stderr
