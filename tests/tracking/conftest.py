"""Stores that cost a test no time: made once, and called again without a pause."""

from pathlib import Path

import pytest

from tests.support.finished_benchmark import fresh_store, make_finished_benchmark


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("backbench.tracking.patience.RETRY_SECONDS", 0.0)


@pytest.fixture
def stores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A finished benchmark and two empty stores, `mlflow.db` and `second.db`, as the working folder."""
    monkeypatch.chdir(tmp_path)
    make_finished_benchmark()
    for name in ("mlflow.db", "second.db"):
        Path(name).write_bytes(fresh_store())
