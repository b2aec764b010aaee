"""A stage says its own lines alone; what libraries say is in a file, and shown where the stage fails."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.configs import PROJECT

NOISE = """
import logging, os, subprocess, sys, warnings
from pathlib import Path
from backbench.cli.entry import kept_in, refusing, run_stage
from backbench.runtime.errors import BackbenchError

def noise():
    os.write(2, b"of C\\n")
    subprocess.run(["sh", "-c", "echo of a child >&2"])
    warnings.warn("of Python")
    logging.getLogger("library").error("of a logger")
    print("own line", flush=True)
"""
SAID = ("of C\n", "of a child\n", "UserWarning: of Python\n", "of a logger\n")
LOG = Path("work/logs/noisy.log")


def run(folder: Path, *lines: str) -> subprocess.CompletedProcess[str]:
    program = "\n".join([NOISE, *lines])
    return subprocess.run([sys.executable, "-c", program], cwd=folder, capture_output=True, text=True, check=False)


def within(*lines: str) -> list[str]:
    return [f"with refusing(), kept_in(Path('{LOG}')):", "    noise()", *(f"    {line}" for line in lines)]


def test_a_stage_says_its_own_lines_alone(tmp_path: Path) -> None:
    (tmp_path / LOG).parent.mkdir(parents=True)
    (tmp_path / LOG).write_text("of the run before\n")
    done = run(tmp_path, "run_stage(lambda config: noise() or 'last line', lock_name=lambda config: 'noisy')")
    assert (done.returncode, done.stdout, done.stderr) == (0, "own line\nlast line\n", "")
    kept = (tmp_path / LOG).read_text()
    assert all(line in kept for line in SAID)
    assert "of the run before" not in kept


def test_afterwards_standard_error_is_the_terminal_again(tmp_path: Path) -> None:
    assert run(tmp_path, *within(), "os.write(2, b'later')").stderr == "later"


def test_where_standard_error_is_closed_a_stage_runs_all_the_same(tmp_path: Path) -> None:
    command = f'exec {sys.executable} -c "$0" 2>&-'
    program = "\n".join([NOISE, within()[0], "    print('own line')"])
    done = subprocess.run(["sh", "-c", command, program], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "own line\n")


def test_a_traceback_comes_after_what_libraries_said(tmp_path: Path) -> None:
    done = run(tmp_path, *within("raise ValueError('of the programme')"))
    assert done.returncode == 1
    before, _, after = done.stderr.partition("Traceback")
    assert before.startswith(f"what libraries said, the last lines of {LOG}:\n  of C\n")
    assert "of a logger" in before
    assert after.endswith("ValueError: of the programme\n")


@pytest.mark.parametrize(
    ("raised", "code"), [("BackbenchError('expected a, found b')", 2), ("KeyboardInterrupt", 130), ("SystemExit(3)", 3)]
)
def test_a_users_mistake_stays_one_line(tmp_path: Path, raised: str, code: int) -> None:
    done = run(tmp_path, *within(f"raise {raised}"))
    assert done.returncode == code
    assert done.stderr.count("\n") <= 1
    assert "of C" not in done.stderr


def test_a_process_that_a_signal_kills_shows_where_and_leaves_its_log(tmp_path: Path) -> None:
    done = run(tmp_path, *within("os.abort()"))
    assert done.returncode == -6
    assert done.stderr.startswith("Fatal Python error: Aborted")
    assert "of C\n" in (tmp_path / LOG).read_text()


def test_a_stages_own_line_is_all_that_is_shown(tmp_path: Path) -> None:
    """In an empty folder, where it misses its images before it imports a network."""
    command = [sys.executable, str(PROJECT / "pipelines/train.py")]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("error: expected ")
    assert done.stderr.count("\n") == 1
    assert (tmp_path / "work/logs/train-resnet50_slim-feature_extraction.log").read_text() == ""
