"""A pretraining is one run in MLflow, and shows the points that it came to last."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from backbench.pretraining.pretraining_run import PretrainingRun
from tests.support.finished_benchmark import fresh_store
from tests.support.mlflow_store import client, config, runs, superseded

FIRST_CODE, SECOND_CODE = ({"mlflow.source.git.commit": name * 40} for name in "ab")


@pytest.fixture(autouse=True)
def _in_a_folder_with_a_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mlflow.db").write_bytes(fresh_store())


def pretraining(key: str, code: Mapping[str, str] | None = None) -> PretrainingRun:
    return PretrainingRun(config(), key, "tiny", {"steps": 4}, code)


def test_a_pretraining_is_one_run_however_often_it_was_killed() -> None:
    """Every checkpoint sends the whole curve again: no point may be there twice."""
    first = pretraining("a1").log({"loss": [(1, 4.0)]})
    again, curves = pretraining("a1"), {"loss": [(1, 4.0), (2, 3.0)]}
    assert again.log(curves) == first
    again.finish(curves, {"source_val_accuracy": 0.5}, {"backbench.weights_sha256": "ab"})
    assert pretraining("b2").log({}) != first
    run = client().get_run(first)
    assert [(point.step, point.value) for point in client().get_metric_history(first, "loss")] == [(1, 4.0), (2, 3.0)]
    assert run.info.status == "FINISHED"
    assert run.data.params == {"steps": "4"}
    assert run.data.tags["backbench.weights_sha256"] == "ab"
    assert run.data.metrics["source_val_accuracy"] == 0.5


def test_a_pretraining_of_other_code_is_a_run_of_its_own() -> None:
    first = pretraining("a1", FIRST_CODE).log({"loss": [(1, 4.0), (2, 3.0)]})
    other = pretraining("a1", SECOND_CODE)
    assert other.log({}) == first
    later = other.log({"loss": [(1, 2.0)]})
    assert later != first
    assert other.log({"loss": [(1, 2.0), (2, 1.5)]}) == later
    (run,) = runs()
    assert (run.data.metrics["loss"], run.data.tags["mlflow.source.git.commit"]) == (1.5, "b" * 40)
    assert [run.info.run_id for run in superseded()] == [first]
