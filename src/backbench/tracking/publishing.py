"""A finished benchmark, told to MLflow whole: what its store lacks is written, whatever it was that took it away."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from backbench.config.config import TrackingConfig
from backbench.data.dataset import MADE_BY, images_file
from backbench.data.file_formats import read_array
from backbench.export import model_folder
from backbench.results.fingerprints import fingerprint
from backbench.results.records import CellRecord, results_digest
from backbench.runtime import paths
from backbench.runtime.errors import StoreWithholdsError
from backbench.runtime.paths import Cell
from backbench.tracking.mlflow_annotations import Annotator
from backbench.tracking.mlflow_connection import Connection
from backbench.tracking.mlflow_models import ModelShelf
from backbench.tracking.mlflow_registry import Registry
from backbench.tracking.tracking import Tracker

NUM_EXAMPLES = 2
MAX_EXAMPLE_PIXELS = 64


@dataclass(frozen=True, kw_only=True)
class Findings:
    """What a comparison found, in the words that MLflow shows.

    By cell: `notes` in Markdown, and `tags` whose names are given `backbench.` in front, such as `rank`. `champion` is
    the chosen cell, `model_card` (Markdown) its model's. `overview` is Markdown that begins with the answer, and
    `metrics` are the numbers of the comparison itself.
    """

    overview: str
    notes: Mapping[str, str]
    tags: Mapping[str, Mapping[str, str]]
    metrics: Mapping[str, float]
    champion: str
    model_card: str


def publish_benchmark(
    tracking: TrackingConfig,
    records: Sequence[CellRecord],
    findings: Findings,
    advance: Callable[[int], Any] = lambda _: None,
) -> None:
    """Complete every cell's run, its files, note and model; then the comparison's own run and the champion.

    Args:
        tracking: `models` says which cells' models are logged.
        records: Every cell of the benchmark.
        findings: What to say of them.
        advance: Called with 1 after each cell.

    Raises:
        BackbenchError: the store fails twice, or a file of a model is missing.
    """
    tracker = Tracker(tracking)
    annotator = Annotator(tracker.connection)
    run_ids = {str(record.cell): tracker.published(record) for record in records}
    with _where_offered("taking the marks of an earlier comparison from its runs"):
        annotator.forget_tags("rank", "test_rank", "champion", "differs_from_chosen", unless=run_ids.values())
        annotator.forget_tags("tied_with_best", unless=())  # of an older version, which ranked by test accuracy
    for record in records:
        name = str(record.cell)
        for folder, files in cell_files(record.cell).items():
            annotator.attach(run_ids[name], folder, files)
        annotator.describe(run_ids[name], findings.notes[name], findings.tags[name])
    with _where_offered("models"):
        for record in records:
            name = str(record.cell)
            if tracking.models == "every_cell" or (tracking.models == "champion" and name == findings.champion):
                _publish_model(tracker.connection, run_ids[name], record, findings)
            advance(1)
    _publish_comparison(annotator, records, findings)


@contextmanager
def _where_offered(what: str) -> Iterator[None]:
    """Go on, with a line, where a store withholds what the rest can do without."""
    try:
        yield
    except StoreWithholdsError as error:
        print(f"going on without {what}. {error}", flush=True)


def _publish_model(connection: Connection, run_id: str, record: CellRecord, findings: Findings) -> None:
    model_id = ModelShelf(connection).log(run_id, record, example_images())
    if str(record.cell) == findings.champion:
        digest = results_digest(record)
        with _where_offered("the registered model"):
            Registry(connection).crown(
                run_id=run_id, model_id=model_id, results_digest=digest, card=findings.model_card
            )


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


def _publish_comparison(annotator: Annotator, records: Sequence[CellRecord], findings: Findings) -> None:
    dataset = records[0].best.configuration["dataset"]
    digest = fingerprint(sorted(map(results_digest, records)), findings.metrics)
    run_id = annotator.log_comparison(digest, f"comparison {dataset['name']}", records[0].best, findings.metrics)
    for folder, files in comparison_files().items():
        annotator.attach(run_id, folder, files)
    annotator.describe(run_id, findings.overview, {"champion_cell": findings.champion})
    with _where_offered("the note of the MLflow experiment"):
        annotator.describe_experiment(findings.overview)
