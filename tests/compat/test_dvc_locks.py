"""DVC's locks, as its files show them."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from dvc.repo import Repo
from dvc.rwlock import _edit_rwlock

from backbench.compat.dvc_locks import LOCKS, is_held


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Repo.init(no_scm=True).close()
    return tmp_path


@pytest.fixture(params=[True, False], ids=["links", "the system's"])
def held(folder: Path, request: pytest.FixtureRequest) -> Iterator[bool]:
    """Both locks taken, by hard links or by what the file system has."""
    Path(".dvc/config.local").write_text(f"[core]\n    hardlink_lock = {request.param}\n", encoding="utf-8")
    with Repo() as repository, repository.lock, _edit_rwlock(repository.tmp_dir, repository.fs, request.param):
        yield request.param


def test_a_lock_of_hard_links_has_two_and_the_other_kind_has_one(held: bool) -> None:
    assert [is_held(lock) for lock in LOCKS] == [held, held]
