"""MLflow stores of a test's own: what is written there, as a stage and as `compare` do, and what a reader sees."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from mlflow.entities import Run, ViewType
from mlflow.tracking import MlflowClient

from backbench.comparison.leaderboard import Leaderboard
from backbench.comparison.ranking import read_leaderboard
from backbench.config.running_config import TrackingConfig
from backbench.results.records import CellRecord
from backbench.runtime import paths
from backbench.runtime.atomic_files import write_text
from backbench.tracking.cell_writer import CellWriter
from backbench.tracking.connection import Connection
from backbench.tracking.publishing import publish_benchmark, run_notes
from backbench.tracking.refusals import twice
from backbench.tracking.runs import CellRun, begun_cell, child_of
from backbench.tracking.store_address import store_shown
from tests.support.finished_benchmark import cells, make_finished_benchmark

DESCRIPTION = {
    "name": "synthetic",
    "classes": ["zero", "één", "<three>"],
    "counts": {split: {"zero": 10, "één": 10, "<three>": 10} for split in ("train", "val", "test")},
}


def config(name: str = "mlflow.db", **changes: Any) -> TrackingConfig:
    """A store of this test's own: MLflow remembers stores by their URI, so the path is absolute."""
    return TrackingConfig(**{"uri": f"sqlite:///{Path.cwd()}/{name}", "experiment": "synthetic", **changes})


def client(name: str = "mlflow.db") -> MlflowClient:
    return MlflowClient(tracking_uri=config(name).uri)


def runs_of(tracking: TrackingConfig, condition: str = "", view: int = ViewType.ACTIVE_ONLY) -> list[Run]:
    mlflow = MlflowClient(tracking_uri=tracking.uri)
    experiment = mlflow.get_experiment_by_name(tracking.experiment)
    assert experiment is not None
    return list(mlflow.search_runs([experiment.experiment_id], condition, run_view_type=view))


def runs(name: str = "mlflow.db", condition: str = "") -> list[Run]:
    return runs_of(config(name), condition)


def superseded(name: str = "mlflow.db") -> list[Run]:
    """The runs in MLflow's trash."""
    return runs_of(config(name), view=ViewType.DELETED_ONLY)


def table(name: str = "mlflow.db") -> list[Any]:
    return table_of(config(name))


def table_of(tracking: TrackingConfig) -> list[Any]:
    """Everything that a reader sees, but ids and times: tags, params, metrics, curves, inputs, the parent's name."""
    mlflow = MlflowClient(tracking_uri=tracking.uri)
    by_id = {run.info.run_id: run for run in runs_of(tracking)}
    rows = []
    for run in by_id.values():
        tags = dict(run.data.tags)
        parent = by_id.get(tags.pop("mlflow.parentRunId", ""))
        curves = {
            metric: [(point.step, point.value) for point in mlflow.get_metric_history(run.info.run_id, metric)]
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


def opened(tracking: TrackingConfig) -> Connection:
    return twice(lambda: Connection(tracking), store_shown(tracking.uri))


def writer(name: str = "mlflow.db", code: Mapping[str, str] | None = None) -> CellWriter:
    return CellWriter(opened(config(name)), code)


def begun(record: CellRecord) -> CellRun:
    """A cell as its stages begin it."""
    return begun_cell(record.cell, record.best.cell_key, record.best.configuration, record.best.digests)


def write_live(writer: CellWriter, record: CellRecord) -> str:
    """Write a cell's trials and seeds as sweep and train do, one after the other, and return its run's id."""
    cell, run_id = begun(record), ""
    for child in map(child_of, (*record.trials, *record.seeds)):
        run_id = writer.write(replace(cell, children=[child]))
    return run_id


def kill_at(call: str, monkeypatch: pytest.MonkeyPatch, action: Callable[[], object]) -> None:
    """Have a process die where it makes a call of MLflow's client, before anything comes of the call."""
    with monkeypatch.context() as patch:
        patch.setattr(MlflowClient, call, lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            action()


def make_benchmark_without_a_store(folder: Path) -> None:
    """Write a finished benchmark, compared, into a folder."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        make_finished_benchmark()
        for path in (paths.LEADERBOARD, paths.SUMMARY, paths.REPORT / "index.html"):
            write_text(path, path.name)


def publish(tracking: TrackingConfig) -> Leaderboard:
    """Publish the benchmark of the working folder as `compare` does."""
    leaderboard = read_leaderboard(cells())
    notes = run_notes(leaderboard, "It is so.", dataset=DESCRIPTION, model_name="synthetic")
    assert notes is not None
    records = [record for _, record in leaderboard.cells]
    twice(lambda: publish_benchmark(tracking, records, notes), store_shown(tracking.uri))
    return leaderboard
