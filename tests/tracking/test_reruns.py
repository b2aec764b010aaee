"""What is run again shows in MLflow what it came to last, and names the code that made it."""

import math
import subprocess
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from mlflow.entities import Run, ViewType
from mlflow.tracking import MlflowClient

from backbench.results.records import CellRecord, EpochRecord, results_digest
from backbench.results.result_files import read_cell
from backbench.tracking.runs import cell_metrics, cell_parameters, cell_tags, code_tags
from backbench.tracking.tracking import Tracker
from tests.support.finished_benchmark import cells, fresh_store, make_finished_benchmark
from tests.tracking.test_tracking import config, kill_at, log_live, runs, table, without_code


@pytest.fixture(autouse=True)
def in_a_finished_benchmark(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("backbench.tracking.mlflow_connection.RETRY_SECONDS", 0.0)
    make_finished_benchmark()
    for name in ("mlflow.db", "second.db"):
        Path(name).write_bytes(fresh_store())


FIRST_CODE, SECOND_CODE = ({"mlflow.source.git.commit": name * 40, "mlflow.source.git.dirty": "false"} for name in "ab")


def superseded(name: str) -> list[Run]:
    client = MlflowClient(tracking_uri=config(name).uri)
    experiment = client.get_experiment_by_name("synthetic")
    assert experiment is not None
    return list(client.search_runs([experiment.experiment_id], run_view_type=ViewType.DELETED_ONLY))


def metrics_and_commits(name: str, metric: str) -> dict[str, tuple[float | None, str | None]]:
    return {
        run.info.run_name: (run.data.metrics.get(metric), run.data.tags.get("mlflow.source.git.commit", " ")[0])
        for run in runs(name)
    }


@pytest.mark.parametrize(
    ("first", "second", "killed_at"),
    [
        (1.0, 0.5, None),
        (0.5, 1.0, "set_terminated"),
        (1.0, 0.5, "delete_run"),
        (math.nan, 0.5, None),
        (0.5, math.inf, None),
    ],
)
def test_a_trial_that_is_run_again_shows_the_later_outcome_and_the_code_that_made_it(
    first: float, second: float, killed_at: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whichever is greater: of two numbers at one time, MLflow shows the greater one."""

    def sweep(code: dict[str, str], value: float) -> None:
        tracker = Tracker(config("mlflow.db"), code)
        parent = tracker.begin_cell("a1", "cell", {}, {})
        tracker.log_trial(parent, 0, {}, {"val_loss": 0.25}, (EpochRecord(0, 0.1, 1.0, 0.25, 0.5),))
        tracker.log_trial(parent, 1, {}, {"val_loss": value}, (EpochRecord(0, 0.1, 1.0, value, 0.5),))

    if killed_at == "set_terminated":
        kill_at(killed_at, monkeypatch, partial(sweep, FIRST_CODE, first))
    sweep(FIRST_CODE, first)
    if killed_at == "delete_run":
        kill_at(killed_at, monkeypatch, partial(sweep, SECOND_CODE, second))
    sweep(SECOND_CODE, second)
    kept = min(second, sys.float_info.max)
    for metric in ("val_loss", "epoch/val_loss"):
        # The trial that came to the same stays as it was.
        assert metrics_and_commits("mlflow.db", metric) == {
            "cell": (None, "b"),
            "trial 0": (0.25, "a"),
            "trial 1": (kept, "b"),
        }
    (older,) = superseded("mlflow.db")
    (later,) = [run for run in runs("mlflow.db") if run.info.run_name == "trial 1"]
    assert older.data.tags["backbench.superseded_by"] == later.info.run_id
    assert older.data.tags["mlflow.source.git.commit"] == "a" * 40


def test_publish_leaves_a_cell_the_trials_and_seeds_of_its_results_and_no_other() -> None:
    """A sweep and a train of other code came to something else, and had a seed more."""
    record = read_cell(cells()[0])
    trial, seed = record.trials[0], record.seeds[0]
    tracker = Tracker(config("mlflow.db"), FIRST_CODE)
    parameters = cell_parameters(record.best.configuration, record.best.digests)
    parent = tracker.begin_cell(record.best.cell_key, str(record.cell), parameters, {})
    tracker.log_trial(parent, trial.index, trial.parameters, {**trial.metrics, "val_loss": 9.0}, trial.history)
    tracker.log_seed(parent, 99, seed.metrics, seed.history)
    Tracker(config("mlflow.db")).publish(record)
    Tracker(config("second.db")).publish(record)
    assert without_code(table("mlflow.db")) == without_code(table("second.db"))
    assert len(superseded("mlflow.db")) == 2
    assert metrics_and_commits("mlflow.db", "val_loss")[f"trial {trial.index} lr {trial.learning_rate:.1e}"] == (
        trial.val_loss,
        " ",
    )


def test_a_run_that_somebody_else_put_below_a_cell_stays() -> None:
    tracker, record = Tracker(config("mlflow.db")), read_cell(cells()[0])
    parent_id = tracker.published(record)
    client = MlflowClient(tracking_uri=config("mlflow.db").uri)
    experiment_id = client.get_run(parent_id).info.experiment_id
    mine = client.create_run(experiment_id, tags={"mlflow.parentRunId": parent_id}, run_name="mine")
    assert tracker.publish(record) is None
    assert client.get_run(mine.info.run_id).info.lifecycle_stage == "active"


def test_a_cell_killed_while_it_was_finished_does_not_keep_the_numbers_of_other_results(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    record = read_cell(cells()[0])
    better = replace(record, metrics=replace(record.metrics, mean={**record.metrics.mean, "test_accuracy": 2.0}))
    kill_at("set_terminated", monkeypatch, partial(begin_and_finish, better))
    log_live(Tracker(config("mlflow.db"), SECOND_CODE), record)
    Tracker(config("mlflow.db")).publish(record)
    cell = str(record.cell)
    assert metrics_and_commits("mlflow.db", "test_accuracy_mean")[cell] == (
        record.metrics.mean["test_accuracy"],
        "b",
    )
    assert [run.info.status for run in runs("mlflow.db") if run.info.run_name == cell] == ["FINISHED"]


def begin_and_finish(record: CellRecord) -> None:
    tracker, best = Tracker(config("mlflow.db"), FIRST_CODE), record.best
    parameters = cell_parameters(best.configuration, best.digests)
    parent = tracker.begin_cell(best.cell_key, str(record.cell), parameters, {})
    tracker.finish_cell(parent, cell_metrics(record), cell_tags(record), results_digest(record))


def test_the_code_of_a_stage_is_named_and_whether_it_differed_from_its_commit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert code_tags() == {"mlflow.source.git.commit": "unknown"}
    Path("src").mkdir()
    Path("src/a.py").touch()
    for words in (["init"], ["add", "src"], ["-c", "user.name=a", "-c", "user.email=a@b", "commit", "-m", "first"]):
        subprocess.run(["git", *words], check=True, capture_output=True)
    clean = code_tags()
    assert (len(clean["mlflow.source.git.commit"]), clean["mlflow.source.git.dirty"]) == (40, "false")
    tracker = Tracker(config("mlflow.db"))
    Path("src/b.py").touch()
    assert code_tags() == {**clean, "mlflow.source.git.dirty": "true"}
    parent = tracker.begin_cell("a1", "cell", {}, {})
    tracker.log_seed(parent, 0, {}, ())
    for run in runs("mlflow.db"):
        assert {name: text for name, text in run.data.tags.items() if "git" in name} == clean


def test_a_pretraining_of_other_code_is_a_run_of_its_own() -> None:
    first = Tracker(config("mlflow.db"), FIRST_CODE).log_pretraining("a1", "tiny", {}, {"loss": [(1, 4.0), (2, 3.0)]})
    tracker = Tracker(config("mlflow.db"), SECOND_CODE)
    assert tracker.log_pretraining("a1", "tiny", {}, {}) == first
    later = tracker.log_pretraining("a1", "tiny", {}, {"loss": [(1, 2.0)]})
    assert later != first
    assert tracker.log_pretraining("a1", "tiny", {}, {"loss": [(1, 2.0), (2, 1.5)]}) == later
    assert metrics_and_commits("mlflow.db", "loss") == {"tiny": (1.5, "b")}
    assert [run.info.run_id for run in superseded("mlflow.db")] == [first]
