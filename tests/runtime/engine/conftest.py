"""What the tests of the engine share: a place to work in, and two workers there."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from backbench.runtime.engine.engine import Run, running
from tests.support.engine_workers import TWO_LOCAL, work_in
from tests.support.toy_tasks import opened


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder of a test and of the workers that it starts."""
    work_in(tmp_path, monkeypatch)
    return tmp_path


@pytest.fixture(scope="module")
def shared_place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The working folder of the tests of a module that share workers."""
    folder = tmp_path_factory.mktemp("shared")
    with pytest.MonkeyPatch.context() as patch:
        work_in(folder, patch)
        yield folder


@pytest.fixture(scope="module")
def run(shared_place: Path) -> Iterator[Run]:
    """Run toy tasks by two workers, the same for all tests of a module."""
    with running("toy tasks", TWO_LOCAL, partial(opened, shared_place)) as run:
        yield run
