"""MLflow holds each cell once, however it got there, and no secret."""

import os
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
from mlflow.entities import Run
from mlflow.tracking import MlflowClient

from backbench.config.config import TrackingConfig
from backbench.results.records import CellRecord, results_digest
from backbench.results.result_files import read_cell
from backbench.runtime.web_address import without_secrets
from backbench.tracking.runs import cell_metrics, cell_parameters, cell_tags, flattened, weights_tags
from backbench.tracking.tracking import Tracker, TrackingError
from tests.support.finished_benchmark import (
    DIGESTS,
    NUM_EPOCHS,
    NUM_TRIALS,
    SEEDS,
    cells,
    fresh_store,
    make_finished_benchmark,
)

# MLflow 3.17 uses a loader that SQLAlchemy 2.1 deprecates.


@pytest.fixture(autouse=True)
def in_a_finished_benchmark(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setattr("backbench.tracking.mlflow_connection.RETRY_SECONDS", 0.0)
    make_finished_benchmark()
    for name in ("mlflow.db", "second.db"):
        Path(name).write_bytes(fresh_store())


def config(name: str) -> TrackingConfig:
    """A store of this test's own: MLflow remembers stores by their URI, so the path is absolute."""
    return TrackingConfig(uri=f"sqlite:///{Path.cwd()}/{name}", experiment="synthetic")


def runs(name: str) -> list[Run]:
    return runs_of(config(name))


def runs_of(tracking: TrackingConfig) -> list[Run]:
    client = MlflowClient(tracking_uri=tracking.uri)
    experiment = client.get_experiment_by_name(tracking.experiment)
    assert experiment is not None
    return list(client.search_runs([experiment.experiment_id]))


def table(name: str) -> list[Any]:
    return table_of(config(name))


def table_of(tracking: TrackingConfig) -> list[Any]:
    """Everything that a reader sees, but ids and times: tags, params, metrics, curves, inputs, the parent's name."""
    client = MlflowClient(tracking_uri=tracking.uri)
    by_id = {run.info.run_id: run for run in runs_of(tracking)}
    rows = []
    for run in by_id.values():
        tags = dict(run.data.tags)
        parent = by_id.get(tags.pop("mlflow.parentRunId", ""))
        curves = {
            metric: [(point.step, point.value) for point in client.get_metric_history(run.info.run_id, metric)]
            for metric in run.data.metrics
        }
        inputs = [(each.dataset.name, each.dataset.digest) for each in run.inputs.dataset_inputs]
        above = parent.info.run_name if parent else ""
        rows.append((above, run.info.run_name, run.info.status, tags, run.data.params, curves, inputs))
    return sorted(rows, key=lambda row: row[:2])


def without_code(rows: list[Any]) -> list[Any]:
    """Drop what says which code made a run: files cannot tell."""
    named = ("mlflow.source.git.commit", "mlflow.source.git.dirty", "backbench.recorded")
    return [(*row[:3], {tag: text for tag, text in row[3].items() if tag not in named}, *row[4:]) for row in rows]


def log_live(tracker: Tracker, record: CellRecord) -> None:
    """What sweep and train do."""
    best = record.best
    parameters = cell_parameters(best.configuration, best.digests)
    parent = tracker.begin_cell(best.cell_key, str(record.cell), parameters, {})
    for trial in record.trials:
        tracker.log_trial(parent, trial.index, trial.parameters, trial.metrics, trial.history)
    parent = tracker.begin_cell(best.cell_key, str(record.cell), parameters, {})
    for seed in record.seeds:
        tracker.log_seed(parent, seed.seed, seed.metrics, seed.history)
    tracker.finish_cell(parent, cell_metrics(record), cell_tags(record), results_digest(record))


def test_publish_adds_nothing_after_live_logging() -> None:
    tracker, record = Tracker(config("mlflow.db")), read_cell(cells()[0])
    log_live(tracker, record)
    before = table("mlflow.db")
    assert len(before) == 1 + NUM_TRIALS + len(SEEDS)
    assert tracker.publish(record) is None
    assert table("mlflow.db") == before


def test_a_fresh_store_filled_from_results_shows_the_same_tables_as_live() -> None:
    record = read_cell(cells()[0])
    log_live(Tracker(config("mlflow.db")), record)
    second = Tracker(config("second.db"))
    assert second.publish(record) is not None
    assert second.publish(record) is None
    assert without_code(table("second.db")) == without_code(table("mlflow.db"))
    for tags in [row[3] for row in table("second.db")]:
        assert tags["backbench.recorded"] == "from results"
        assert "mlflow.source.git.commit" not in tags


def test_parent_carries_mean_sd_digests_and_data_set() -> None:
    record = read_cell(cells()[0])
    parent_id = Tracker(config("mlflow.db")).publish(record)
    assert parent_id is not None
    client = MlflowClient(tracking_uri=config("mlflow.db").uri)
    run = client.get_run(parent_id)
    assert run.data.metrics["test_accuracy_mean"] == record.metrics.mean["test_accuracy"]
    assert run.data.metrics["test_accuracy_sd"] == record.metrics.sd["test_accuracy"]
    assert run.data.params["digests.weights"] == DIGESTS["weights"]
    assert run.data.params["strategy.learning_rate.low"] == "0.0001"
    assert run.data.tags["backbench.results_digest"] == results_digest(record)
    assert [each.dataset.name for each in run.inputs.dataset_inputs] == ["synthetic"]
    text = Path(client.download_artifacts(parent_id, "configuration.yaml")).read_text(encoding="utf-8")
    assert "split_seed: 0" in text
    curve = client.get_metric_history(parent_id, "epoch/val_loss")
    assert curve == []


def test_a_pretraining_is_one_run_however_often_it_was_killed() -> None:
    """Every checkpoint sends the whole curve again: no point may be there twice."""
    first = Tracker(config("mlflow.db")).log_pretraining("a1", "tiny", {"steps": 4}, {"loss": [(1, 4.0)]})
    tracker = Tracker(config("mlflow.db"))
    again = tracker.log_pretraining("a1", "tiny", {"steps": 4}, {"loss": [(1, 4.0), (2, 3.0)]})
    tracker.finish_pretraining(again, {"source_val_accuracy": 0.5}, {"backbench.weights_sha256": "ab"})
    assert again == first
    assert tracker.log_pretraining("b2", "tiny", {"steps": 5}, {}) != first
    client = MlflowClient(tracking_uri=config("mlflow.db").uri)
    run = client.get_run(first)
    assert [(point.step, point.value) for point in client.get_metric_history(first, "loss")] == [(1, 4.0), (2, 3.0)]
    assert run.info.status == "FINISHED"
    assert run.data.params == {"steps": "4"}
    assert run.data.tags["backbench.weights_sha256"] == "ab"


def published(record: CellRecord) -> CellRecord:
    """The same cell, as if its weights were published ones."""
    pretrained = {"url": "https://example.org/model.h5", "licence": "Apache-2.0"}
    more = {"weights": {"name": "published"}, "backbone": {"name": "tiny", "pretrained": pretrained}}
    digests = {**record.best.digests, "weights_file": "f" * 64}
    best = replace(record.best, configuration={**record.best.configuration, **more}, digests=digests)
    return replace(record, best=best)


def test_every_run_carries_digest_licence_and_source_of_the_weights() -> None:
    record = published(read_cell(cells()[0]))
    log_live(Tracker(config("mlflow.db")), record)
    found = runs("mlflow.db")
    assert len(found) == 1 + NUM_TRIALS + len(SEEDS)
    for run in found:
        assert {name: value for name, value in run.data.tags.items() if "weights" in name} == {
            "backbench.weights_digest": DIGESTS["weights"],
            "backbench.weights_sha256": "f" * 64,
            "backbench.weights_licence": "Apache-2.0",
            "backbench.weights_source": "https://example.org/model.h5",
        }


@pytest.mark.parametrize(
    ("configuration", "licence", "source"),
    [
        ({"weights": {"name": "random", "seed": 0}}, "none", "random values of seed 0"),
        ({"weights": {"name": "file"}}, "not stated", "a file"),
        ({"weights": {"name": "file", "url": "https://x.org/y", "licence": "MIT"}}, "MIT", "https://x.org/y"),
        (
            {"weights": {"name": "formula"}, "backbone": {"formula": {"file": "assets/a.h5", "licence": "MIT"}}},
            "MIT",
            "assets/a.h5",
        ),
    ],
)
def test_weights_of_every_kind_have_a_licence_and_a_source(
    configuration: dict[str, Any], licence: str, source: str
) -> None:
    tags = weights_tags(cell_parameters(configuration, {"weights": "ab"}))
    named = {"weights_digest": "ab", "weights_licence": licence, "weights_source": source}
    assert tags == {f"backbench.{name}": value for name, value in named.items()}


def test_children_carry_epoch_curves() -> None:
    Tracker(config("mlflow.db")).publish(read_cell(cells()[0]))
    client = MlflowClient(tracking_uri=config("mlflow.db").uri)
    child = next(run for run in runs("mlflow.db") if run.info.run_name == "trial 0 lr 1.0e-04")
    points = client.get_metric_history(child.info.run_id, "epoch/val_loss")
    assert [point.step for point in points] == list(range(NUM_EPOCHS))


def test_a_killed_cell_is_resumed_and_another_key_is_not() -> None:
    tracker = Tracker(config("mlflow.db"))
    first = tracker.begin_cell("a1", "cell", {"x": 1}, {})
    again = Tracker(config("mlflow.db"))
    assert again.begin_cell("a1", "cell", {"x": 1}, {}) == first
    assert again.begin_cell("b2", "cell", {"x": 1}, {}) != first
    tracker.finish_cell(first, {}, {}, "digest")
    assert again.begin_cell("a1", "cell", {"x": 1}, {}) != first


def test_a_cell_killed_half_way_is_completed_by_publish() -> None:
    tracker, record = Tracker(config("mlflow.db")), read_cell(cells()[0])
    parameters = cell_parameters(record.best.configuration, record.best.digests)
    parent = tracker.begin_cell(record.best.cell_key, str(record.cell), parameters, {})
    trial = record.trials[0]
    tracker.log_trial(parent, trial.index, trial.parameters, trial.metrics, trial.history)
    assert tracker.publish(record) == parent
    Tracker(config("second.db")).publish(record)
    assert without_code(table("mlflow.db")) == without_code(table("second.db"))


def test_repeating_a_child_does_not_double_it() -> None:
    tracker, record = Tracker(config("mlflow.db")), read_cell(cells()[0])
    parent = tracker.begin_cell("a1", "cell", {}, {})
    for _ in range(2):
        tracker.log_seed(parent, 0, record.seeds[0].metrics, record.seeds[0].history)
    assert len(runs("mlflow.db")) == 2


def kill_at(call: str, monkeypatch: pytest.MonkeyPatch, action: Callable[[], object]) -> None:
    """Have a process die where it makes a call of MLflow's client, before anything comes of the call."""
    with monkeypatch.context() as patch:
        patch.setattr(MlflowClient, call, lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            action()


def test_a_child_killed_half_way_is_completed(monkeypatch: pytest.MonkeyPatch) -> None:
    tracker, record = Tracker(config("mlflow.db")), read_cell(cells()[0])
    parent = tracker.begin_cell("a1", "cell", {}, {})
    log = partial(tracker.log_seed, parent, 0, record.seeds[0].metrics, record.seeds[0].history)
    kill_at("set_terminated", monkeypatch, log)
    (half,) = [run for run in runs("mlflow.db") if run.info.run_id != parent]
    log()
    assert len(runs("mlflow.db")) == 2
    client = MlflowClient(tracking_uri=config("mlflow.db").uri)
    assert client.get_run(half.info.run_id).info.status == "FINISHED"


def test_one_failed_call_is_repeated_and_stores_once(monkeypatch: pytest.MonkeyPatch) -> None:
    from mlflow.exceptions import MlflowException

    tracker = Tracker(config("mlflow.db"))
    create, failures = MlflowClient.create_run, [1]

    def stored_but_raised(*args: Any, **kwargs: Any) -> Run:
        run: Run = create(*args, **kwargs)
        if failures:
            failures.pop()
            raise MlflowException("connection lost")
        return run

    monkeypatch.setattr(MlflowClient, "create_run", stored_but_raised)
    tracker.begin_cell("a1", "cell", {}, {})
    assert len(runs("mlflow.db")) == 1


def test_more_metrics_and_parameters_than_one_call_takes() -> None:
    tracker, record = Tracker(config("mlflow.db")), read_cell(cells()[0])
    parent = tracker.begin_cell("a1", "cell", {f"p{index}": index for index in range(205)}, {})
    history = [record.seeds[0].history[0].__class__(epoch, 0.1, 0.2, 0.3, 0.4) for epoch in range(450)]
    tracker.log_seed(parent, 0, {"test_accuracy": 0.5}, history)
    client = MlflowClient(tracking_uri=config("mlflow.db").uri)
    assert len(client.get_run(parent).data.params) == 205
    child = next(run for run in runs("mlflow.db") if run.info.run_id != parent)
    assert len(client.get_metric_history(child.info.run_id, "epoch/val_accuracy")) == 450
    assert child.data.metrics["test_accuracy"] == 0.5


def test_environment_variable_wins_over_configuration(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", config("second.db").uri)
    Tracker(config("mlflow.db")).begin_cell("a1", "cell", {}, {})
    assert len(runs("second.db")) == 1


def test_writers_that_meet_in_a_fresh_store_share_it() -> None:
    client = MlflowClient(tracking_uri=config("mlflow.db").uri)
    assert sorted(each.name for each in client.search_experiments()) == ["Default", "met"]


def test_a_store_whose_creation_was_killed_is_created_anew() -> None:
    Path("mlflow.db").unlink()
    Path("mlartifacts").mkdir()
    Path("mlartifacts/mlflow.db.tmp").write_bytes(b"half a store")
    Tracker(config("mlflow.db")).begin_cell("a1", "cell", {}, {})
    assert len(runs("mlflow.db")) == 1


def test_an_unreachable_server_is_one_line_without_its_password(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(TrackingError, match=r"http://\*\*\*@127\.0\.0\.1:9") as caught:
        Tracker(TrackingConfig(uri="http://ada:hush-hush@127.0.0.1:9", experiment="x"))
    assert "\n" not in str(caught.value)
    captured = capfd.readouterr()
    assert "hush" not in str(caught.value) + captured.out + captured.err


def test_passwords_in_the_configuration_are_not_recorded() -> None:
    uri = "postgresql://ada:hush-hush@db/x?password=hush2"
    parent = Tracker(config("mlflow.db")).begin_cell("a1", "cell", {"tracking": {"uri": uri}}, {})
    client = MlflowClient(tracking_uri=config("mlflow.db").uri)
    text = Path(client.download_artifacts(parent, "configuration.yaml")).read_text(encoding="utf-8")
    assert "hush" not in text + str(client.get_run(parent).data.params)
    assert without_secrets(uri) == "postgresql://***@db/x?password=***"


def test_parameters_are_flat_text_of_bounded_length() -> None:
    tree = {"a": {"b": None, "c": [1, 0.5]}, "d": True, "e": "x" * 600, "f": {}}
    assert flattened(tree) == {"a.b": "null", "a.c": "[1, 0.5]", "d": "true", "e": "x" * 500}
