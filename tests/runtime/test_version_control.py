"""A folder without git, without the program, or in a repository of somebody else's."""

import subprocess
from pathlib import Path

import pytest

from backbench.cli.doctor.bookkeeping import bookkeeping_findings
from backbench.config.running_config import TrackingConfig
from backbench.runtime.environment import commit


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    return tmp_path


def git(*words: str) -> str:
    command = ["git", "-c", "user.name=a", "-c", "user.email=a@b.c", *words]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def a_repository(*files: str) -> str:
    git("init")
    for file in files:
        Path(file).parent.mkdir(parents=True, exist_ok=True)
        Path(file).touch()
        git("add", file)
    git("commit", "--allow-empty", "-m", "first")
    return git("rev-parse", "HEAD")


def told() -> str:
    finding = next(bookkeeping_findings(TrackingConfig(uri="sqlite:///mlflow.db", experiment="e")))
    return f"{finding.verdict} {finding.found}: {finding.advice}"


def test_the_commit_is_told_in_a_clone_and_in_a_folder_of_one(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = a_repository("project/dvc.yaml")
    assert commit() == first
    monkeypatch.chdir(folder / "project")
    assert commit() == first
    assert told().startswith("ready nothing is uncommitted")


def test_a_repository_of_something_else_names_no_run(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    a_repository("diary.txt")
    unpacked = folder / "unpacked"
    unpacked.mkdir()
    (unpacked / "dvc.yaml").touch()
    monkeypatch.chdir(unpacked)
    assert commit() is None
    assert told().startswith("warning this is no repository")


def test_without_a_repository_or_git_there_is_no_commit(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert commit() is None
    assert told().startswith("warning this is no repository")
    monkeypatch.setenv("PATH", "")
    assert commit() is None
    assert told() == "warning git does not answer: install it: runs are named by their commit"


def test_a_repository_of_another_user_is_told_with_the_command(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    a_repository("dvc.yaml")
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")  # git's own tests say so
    assert commit() is None
    assert told().endswith(f"run `git config --global --add safe.directory {folder}`")
