"""A finished benchmark, told to MLflow whole: what its store lacks is written, whatever it was that took it away."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from backbench.config.running_config import TrackingConfig
from backbench.data.arrays.dataset import MADE_BY, images_file
from backbench.data.arrays.file_formats import read_array
from backbench.results import model_folder
from backbench.results.records import CellRecord, fingerprint, results_digest
from backbench.runtime import paths
from backbench.runtime.paths import Cell
from backbench.tracking.cell_writer import CellWriter
from backbench.tracking.connection import Connection
from backbench.tracking.models import log_model, register_champion
from backbench.tracking.refusals import where_offered
from backbench.tracking.runs import KIND, RESULTS_DIGEST, code_tags, dataset_input, finished_cell, note_tag

NUM_EXAMPLES = 2
MAX_EXAMPLE_PIXELS = 64
RANK, TEST_RANK, CHAMPION = "backbench.rank", "backbench.test_rank", "backbench.champion"
DIFFERS_FROM_CHOSEN = "backbench.differs_from_chosen"
# Of an older version, which ranked by test accuracy.
OUTDATED = "backbench.tied_with_best"


@dataclass(frozen=True, kw_only=True)
class RunNotes:
    """What a comparison found, in the words that MLflow shows.

    `tags` are those of every cell by its name, the note among them. `champion` is the chosen cell, `model_card`
    (Markdown) its model's. `overview` is Markdown that begins with the answer, and `metrics` are the numbers of the
    comparison itself.
    """

    overview: str
    tags: Mapping[str, Mapping[str, str]]
    metrics: Mapping[str, float]
    champion: str
    model_card: str


def publish_benchmark(
    tracking: TrackingConfig,
    records: Sequence[CellRecord],
    notes: RunNotes,
    advance: Callable[[int], Any] = lambda _: None,
) -> None:
    """Complete every cell's run, its files, note and model; then the comparison's own run and the champion.

    Repeat it freely. What MLflow raises passes through; `refusals.py` makes a TrackingError of it.

    `advance` is called with 1 after each cell.

    Raises:
        BackbenchError: the address is wrong, or a file of a model is missing.
    """
    connection = Connection(tracking)
    writer, run_ids = CellWriter(connection), {}
    for record in records:
        cell = finished_cell(record, notes.tags[str(record.cell)], cell_files(record.cell))
        run_ids[cell.name] = writer.write(cell)
    with where_offered("taking the marks of an earlier comparison from its runs", connection.uri_shown):
        _remove_marks(connection, run_ids.values())
    with where_offered("models", connection.uri_shown):
        for record in records:
            name = str(record.cell)
            if tracking.models == "every_cell" or (tracking.models == "champion" and name == notes.champion):
                _publish_model(connection, run_ids[name], record, notes)
            advance(1)
    _publish_comparison(connection, records, notes)


def cell_files(cell: Cell) -> dict[str, list[Path]]:
    """List what a cell's run holds, by folder of its artifacts; the weights themselves are the logged model's."""
    results = [cell.best, cell.trials, cell.trial_history, cell.metrics, cell.history]
    model = cell.models / model_folder.DESCRIPTION
    return {"results": results, "predictions": [cell.predictions], "model": [model] if model.is_file() else []}


def comparison_files() -> dict[str, list[Path]]:
    """List what a comparison's run holds, by folder; the report only where there is one."""
    report = paths.REPORT / "index.html"
    return {"report": [report] if report.is_file() else [], "": [paths.LEADERBOARD, paths.SUMMARY]}


def example_images() -> np.ndarray:
    """Return a few small training images: uint8 RGB `(n, side, side, 3)`.

    The model takes images of any size, and MLflow spells every number out, twice; so large ones are thinned.
    """
    images = read_array(images_file(paths.DATASET, "train"), made_by=MADE_BY)[:NUM_EXAMPLES]
    step = -(-images.shape[1] // MAX_EXAMPLE_PIXELS)
    return np.array(images[:, ::step, ::step])


def _remove_marks(connection: Connection, current: Collection[str]) -> None:
    """Take what an earlier comparison said from the runs that this one does not speak of."""
    for run in connection.search({KIND: "cell"}):
        marks = {OUTDATED} if run.info.run_id in current else {OUTDATED, RANK, TEST_RANK, CHAMPION, DIFFERS_FROM_CHOSEN}
        for name in marks & run.data.tags.keys():
            connection.client.delete_tag(run.info.run_id, name)


def _publish_model(connection: Connection, run_id: str, record: CellRecord, notes: RunNotes) -> None:
    model_id = log_model(connection, run_id, record, example_images())
    if str(record.cell) == notes.champion:
        with where_offered("the registered model", connection.uri_shown):
            register_champion(connection, run_id, model_id, results_digest(record), notes.model_card)


def _publish_comparison(connection: Connection, records: Sequence[CellRecord], notes: RunNotes) -> None:
    client, of = connection.client, finished_cell(records[0]).parameters
    digest = fingerprint(sorted(map(results_digest, records)), notes.metrics)
    identity, note = {KIND: "comparison", RESULTS_DIGEST: digest}, note_tag(notes.overview)
    found = connection.search(identity)
    run = found[0] if found else connection.create(f"comparison {of['dataset']['name']}", {**identity, **code_tags()})
    connection.log(run, metrics=notes.metrics, tags={"backbench.champion_cell": notes.champion, **note})
    connection.log_dataset(run, dataset_input(of))
    connection.attach(run, comparison_files())
    client.set_terminated(run.info.run_id)
    with where_offered("the note of the MLflow experiment", connection.uri_shown):
        # The kind lets the UI show what is for models that train.
        for tag, value in {**note, "mlflow.experimentKind": "custom_model_development"}.items():
            client.set_experiment_tag(connection.experiment_id, tag, value)
