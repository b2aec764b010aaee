"""MLflow holds each cell once, however it got there, shows what it came to last, and names the code that made it."""

import math
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from mlflow.entities import Run
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from backbench.results.records import CellRecord, EpochRecord, results_digest
from backbench.results.result_files import read_cell
from backbench.tracking.refusals import twice
from backbench.tracking.runs import CellRun, Child, child_of, finished_cell
from tests.support.finished_benchmark import DIGESTS, NUM_EPOCHS, NUM_TRIALS, SEEDS, cells
from tests.support.mlflow_store import begun, client, kill_at, runs, superseded, table, without_code, write_live, writer

pytestmark = pytest.mark.usefixtures("stores")
FIRST_CODE, SECOND_CODE = ({"mlflow.source.git.commit": name * 40, "mlflow.source.git.dirty": "false"} for name in "ab")
CELL = CellRun(key="a1", name="cell", parameters={"x": 1}, tags={})


def first_record() -> CellRecord:
    return read_cell(cells()[0])


def metrics_and_commits(metric: str) -> dict[str, tuple[float | None, str | None]]:
    return {
        run.info.run_name: (run.data.metrics.get(metric), run.data.tags.get("mlflow.source.git.commit", " ")[0])
        for run in runs()
    }


def test_a_store_filled_from_results_shows_the_same_tables_as_a_live_one() -> None:
    record = first_record()
    write_live(writer(), record)
    writer().write(finished_cell(record))
    live = table()
    assert len(live) == 1 + NUM_TRIALS + len(SEEDS)
    assert ["backbench.recorded" in row[3] for row in live] == [False] * len(live)
    for _ in range(2):
        writer("second.db").write(finished_cell(record))
        assert without_code(table("second.db")) == without_code(live)
    for tags in [row[3] for row in table("second.db")]:
        assert tags["backbench.recorded"] == "from results"
        assert "mlflow.source.git.commit" not in tags


def test_a_finished_cell_that_is_written_again_stays_as_it_is() -> None:
    record = first_record()
    write_live(writer(code=FIRST_CODE), record)
    run_id = writer(code=FIRST_CODE).write(finished_cell(record))
    before, ids = table(), {run.info.run_id for run in runs()}
    assert writer(code=SECOND_CODE).write(finished_cell(record)) == run_id
    assert (table(), {run.info.run_id for run in runs()}) == (before, ids)


def test_a_cell_killed_half_way_is_completed_from_results() -> None:
    record = first_record()
    parent = writer().write(replace(begun(record), children=[child_of(record.trials[0])]))
    assert writer().write(finished_cell(record)) == parent
    writer("second.db").write(finished_cell(record))
    assert without_code(table()) == without_code(table("second.db"))


def test_a_cells_run_carries_mean_sd_digests_and_data_set_and_its_children_curves() -> None:
    record = first_record()
    parent_id = writer().write(finished_cell(record))
    run = client().get_run(parent_id)
    assert run.data.metrics["test_accuracy_mean"] == record.metrics.mean["test_accuracy"]
    assert run.data.metrics["test_accuracy_sd"] == record.metrics.sd["test_accuracy"]
    assert run.data.params["digests.weights"] == DIGESTS["weights"]
    assert run.data.params["strategy.learning_rate.low"] == "0.0001"
    assert run.data.tags["backbench.results_digest"] == results_digest(record)
    assert [each.dataset.name for each in run.inputs.dataset_inputs] == ["synthetic"]
    text = Path(client().download_artifacts(parent_id, "configuration.yaml")).read_text(encoding="utf-8")
    assert "split_seed: 0" in text
    assert client().get_metric_history(parent_id, "epoch/val_loss") == []
    (child,) = [run for run in runs() if run.info.run_name == "trial 0 lr 1.0e-04"]
    points = client().get_metric_history(child.info.run_id, "epoch/val_loss")
    assert [point.step for point in points] == list(range(NUM_EPOCHS))


def test_every_run_carries_digest_licence_and_source_of_the_weights() -> None:
    record = first_record()
    pretrained = {"url": "https://example.org/model.h5", "licence": "Apache-2.0"}
    more = {"weights": {"name": "published"}, "backbone": {"name": "tiny", "pretrained": pretrained}}
    digests = {**record.best.digests, "weights_file": "f" * 64}
    best = replace(record.best, configuration={**record.best.configuration, **more}, digests=digests)
    write_live(writer(), replace(record, best=best))
    found = runs()
    assert len(found) == 1 + NUM_TRIALS + len(SEEDS)
    for run in found:
        assert {name: value for name, value in run.data.tags.items() if "weights" in name} == {
            "backbench.weights_digest": DIGESTS["weights"],
            "backbench.weights_sha256": "f" * 64,
            "backbench.weights_licence": "Apache-2.0",
            "backbench.weights_source": "https://example.org/model.h5",
        }


def test_a_killed_cell_is_resumed_and_another_key_or_a_finished_one_is_not() -> None:
    first = writer().write(CELL)
    again = writer()
    assert again.write(CELL) == first
    assert again.write(replace(CELL, key="b2")) != first
    assert again.write(replace(CELL, parameters={"x": 2})) != first
    assert again.write(replace(CELL, results_digest="digest")) == first
    assert again.write(CELL) != first


@pytest.mark.parametrize("call", ["log_text", "log_batch"])
def test_a_cell_killed_at_its_beginning_is_described_whole(call: str, monkeypatch: pytest.MonkeyPatch) -> None:
    record = first_record()
    kill_at(call, monkeypatch, partial(writer().write, begun(record)))
    writer().write(begun(record))
    writer("second.db").write(begun(record))
    assert table() == table("second.db")
    (run,) = runs()
    assert Path(client().download_artifacts(run.info.run_id, "configuration.yaml")).is_file()


def test_a_child_killed_half_way_is_completed_and_not_doubled(monkeypatch: pytest.MonkeyPatch) -> None:
    parent = writer().write(CELL)
    write = partial(writer().write, replace(CELL, children=[child_of(first_record().seeds[0])]))
    kill_at("set_terminated", monkeypatch, write)
    (half,) = [run for run in runs() if run.info.run_id != parent]
    for _ in range(2):
        write()
    assert len(runs()) == 2
    assert client().get_run(half.info.run_id).info.status == "FINISHED"


def test_one_failed_call_is_repeated_and_stores_once(monkeypatch: pytest.MonkeyPatch) -> None:
    create, failures, cells = MlflowClient.create_run, [1], writer()

    def stored_but_raised(*args: Any, **kwargs: Any) -> Run:
        run: Run = create(*args, **kwargs)
        if failures:
            failures.pop()
            raise MlflowException("connection lost")
        return run

    monkeypatch.setattr(MlflowClient, "create_run", stored_but_raised)
    twice(lambda: cells.write(CELL), "the store")
    assert len(runs()) == 1


def test_more_metrics_and_parameters_than_one_call_takes() -> None:
    history = [EpochRecord(epoch, 0.1, 0.2, 0.3, 0.4) for epoch in range(450)]
    seed = Child(kind="seed", index=0, parameters={}, metrics={"test_accuracy": 0.5}, history=history)
    many = replace(CELL, parameters={f"p{index}": index for index in range(205)}, children=[seed])
    parent = writer().write(many)
    assert len(client().get_run(parent).data.params) == 205
    (child,) = [run for run in runs() if run.info.run_id != parent]
    assert len(client().get_metric_history(child.info.run_id, "epoch/val_accuracy")) == 450
    assert child.data.metrics["test_accuracy"] == 0.5


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
        cells = writer(code=code)
        for index, found in enumerate((0.25, value)):
            history = (EpochRecord(0, 0.1, 1.0, found, 0.5),)
            trial = Child(kind="trial", index=index, parameters={}, metrics={"val_loss": found}, history=history)
            cells.write(replace(CELL, children=[trial]))

    if killed_at == "set_terminated":
        kill_at(killed_at, monkeypatch, partial(sweep, FIRST_CODE, first))
    sweep(FIRST_CODE, first)
    if killed_at == "delete_run":
        kill_at(killed_at, monkeypatch, partial(sweep, SECOND_CODE, second))
    sweep(SECOND_CODE, second)
    kept = min(second, sys.float_info.max)
    for metric in ("val_loss", "epoch/val_loss"):
        # The trial that came to the same stays as it was.
        assert metrics_and_commits(metric) == {"cell": (None, "b"), "trial 0": (0.25, "a"), "trial 1": (kept, "b")}
    (older,) = superseded()
    (later,) = [run for run in runs() if run.info.run_name == "trial 1"]
    assert older.data.tags["backbench.superseded_by"] == later.info.run_id
    assert older.data.tags["mlflow.source.git.commit"] == "a" * 40


def test_a_finished_cell_is_left_the_trials_and_seeds_of_its_results_and_no_other() -> None:
    """A sweep and a train of other code came to something else, and had a seed more."""
    record = first_record()
    trial, seed = child_of(record.trials[0]), child_of(record.seeds[0])
    other = replace(trial, metrics={**trial.metrics, "val_loss": 9.0})
    writer(code=FIRST_CODE).write(replace(begun(record), children=[other, replace(seed, index=99)]))
    writer().write(finished_cell(record))
    writer("second.db").write(finished_cell(record))
    assert without_code(table()) == without_code(table("second.db"))
    assert len(superseded()) == 2
    assert metrics_and_commits("val_loss")[trial.name] == (trial.metrics["val_loss"], " ")


def test_a_run_that_somebody_else_put_below_a_cell_stays() -> None:
    cell = finished_cell(first_record())
    parent_id = writer().write(cell)
    experiment_id = client().get_run(parent_id).info.experiment_id
    mine = client().create_run(experiment_id, tags={"mlflow.parentRunId": parent_id}, run_name="mine")
    assert writer().write(cell) == parent_id
    assert client().get_run(mine.info.run_id).info.lifecycle_stage == "active"


def test_a_cell_killed_while_it_was_finished_does_not_keep_the_numbers_of_other_results(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    record = first_record()
    better = replace(record, metrics=replace(record.metrics, mean={**record.metrics.mean, "test_accuracy": 2.0}))
    first = writer(code=FIRST_CODE)
    first.write(begun(better))
    kill_at("set_terminated", monkeypatch, partial(first.write, replace(finished_cell(better), children=[])))
    write_live(writer(code=SECOND_CODE), record)
    writer(code=SECOND_CODE).write(finished_cell(record))
    accuracy = record.metrics.mean["test_accuracy"]
    assert metrics_and_commits("test_accuracy_mean")[str(record.cell)] == (accuracy, "b")
    assert [run.info.status for run in runs() if run.info.run_name == str(record.cell)] == ["FINISHED"]


def test_passwords_in_the_configuration_are_not_recorded() -> None:
    parameters = {"tracking": {"uri": "postgresql://ada:hush-hush@db/x?password=hush2"}}
    parent = writer().write(replace(CELL, parameters=parameters))
    text = Path(client().download_artifacts(parent, "configuration.yaml")).read_text(encoding="utf-8")
    assert "hush" not in text + str(client().get_run(parent).data.params)
