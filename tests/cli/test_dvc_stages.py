"""Stages as `make repro` runs them: what a stage prints is all that is printed, and a failure has its reason."""

import subprocess
import sys
from pathlib import Path

import pytest

from backbench.cli.run_benchmark import run_stages
from tests.support.configs import PROJECT

STAGES = """
stages:
  fine:
    cmd: 'echo said by fine; echo made > fine.txt'
    outs: [fine.txt]
  refused:
    cmd: 'echo "library chatter" >&2; echo "error: expected a cat, found a dog; bring one" >&2; exit 2'
    outs: [refused.txt]
  crashed:
    cmd: 'echo "ValueError: no such shape" >&2; exit 1'
    outs: [crashed.txt]
  killed:
    cmd: 'kill -9 $$'
    outs: [killed.txt]
  impossible:
    cmd: 'true'
    deps: [nowhere.txt]
    outs: [impossible.txt]
"""


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("repository")
    for command in (["git", "init", "-q"], [sys.executable, "-m", "dvc", "init", "-q"]):
        subprocess.run(command, cwd=folder, check=True)
    (folder / "dvc.yaml").write_text(STAGES, encoding="utf-8")
    return folder


@pytest.fixture(autouse=True)
def in_the_repository(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(repository)
    monkeypatch.setenv("PYTHONPATH", str(PROJECT / "src"))


def test_a_stage_that_ran_is_named_once_and_not_run_again(capfd: pytest.CaptureFixture[str]) -> None:
    assert run_stages("fine") is None
    assert capfd.readouterr().out.splitlines() == ["Running stage 'fine':", "said by fine"]
    assert run_stages("fine") is None
    assert capfd.readouterr() == ("", "")
    heard: list[str] = []
    assert run_stages("fine", force=True, heard=heard.append) is None
    assert heard == capfd.readouterr().out.splitlines()
    assert "said by fine" in heard


@pytest.mark.parametrize(
    ("stage", "reason"),
    [
        ("refused", "expected a cat, found a dog; bring one"),
        ("crashed", "ValueError: no such shape"),
        ("killed", "was ended by SIGKILL, as Linux does where memory is full: run fewer cells at once"),
    ],
)
def test_a_failure_is_told_with_its_stage_and_reason(
    stage: str, reason: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run_stages(stage, alone=True, heard=print) == f"{stage}: {reason}"
    assert capfd.readouterr().err.splitlines()[-1].startswith(f"failed: {stage}")


def test_what_dvc_refuses_is_told_in_its_words() -> None:
    failure = run_stages("impossible")
    assert failure is not None
    assert "nowhere.txt" in failure
