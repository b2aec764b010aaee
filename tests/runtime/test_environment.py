"""What a stage runs with is told without importing it, and without naming the machine."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from backbench.runtime.environment import look_around


def test_versions_and_machine_are_told_but_no_name_of_it() -> None:
    found = look_around()
    assert {"Python", "backbench", "keras", "optuna", "mlflow", "dvc"} <= set(found.versions)
    assert " cores" in found.machine
    assert os.uname().nodename not in found.machine


def test_backend_is_the_one_that_keras_would_choose(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KERAS_BACKEND", raising=False)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    assert look_around().backend == "tensorflow"
    (tmp_path / "keras.json").write_text('{"backend": "torch"}', encoding="utf-8")
    assert look_around().backend == "torch"
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    assert look_around().backend == "jax"


def test_commit_is_told_where_there_is_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert look_around().commit is None

    def git(*words: str) -> None:
        subprocess.run(["git", "-c", "user.name=a", "-c", "user.email=a@b.c", *words], check=True, capture_output=True)

    git("init")
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "a.py").touch()
    git("add", ".")
    git("commit", "-m", "first")
    (tmp_path / "results").mkdir()
    found = look_around()
    assert found.commit is not None
    assert len(found.commit) == 40
    assert not found.is_commit_changed
    (tmp_path / "src" / "b.py").touch()
    assert look_around().is_commit_changed


def test_no_library_is_imported_for_it() -> None:
    look = "import sys, backbench.runtime.environment as e; e.look_around()"
    code = f"{look}; print({{'keras', 'mlflow', 'dvc'}} & set(sys.modules))"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True).stdout
    assert shown.strip() == "set()"
