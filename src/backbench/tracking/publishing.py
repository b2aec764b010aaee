"""A finished benchmark, told to MLflow whole: what its store lacks is written, whatever it was that took it away.

Before that come the notes, which are pure text in Markdown: what MLflow's UI says of a comparison, of every cell and of
the chosen one's model.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment as Templates
from jinja2 import FileSystemLoader

from backbench.comparison.class_recalls import ClassRecalls
from backbench.comparison.conclusions import RULE, class_warning, rule, spelt_rows
from backbench.comparison.leaderboard import Leaderboard, Row
from backbench.config.running_config import TrackingConfig
from backbench.data.arrays.dataset import ALL, MADE_BY, images_file
from backbench.data.arrays.file_formats import read_array
from backbench.results import model_folder
from backbench.results.records import CellRecord, fingerprint, results_digest
from backbench.runtime import paths
from backbench.runtime.console import markdown_table
from backbench.runtime.paths import Cell
from backbench.tracking.cell_writer import CellWriter
from backbench.tracking.connection import Connection
from backbench.tracking.models import log_model, register_champion
from backbench.tracking.refusals import where_offered
from backbench.tracking.runs import KIND, RESULTS_DIGEST, code_tags, finished_cell, note_tag

TEMPLATES = Templates(loader=FileSystemLoader(Path(__file__).parent))
MAX_ROWS = 20
MAX_CLASSES = 20
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


def run_notes(leaderboard: Leaderboard, answer: str, *, dataset: Mapping[str, Any], model_name: str) -> RunNotes | None:
    """Gather what MLflow is told of a comparison; None where nothing but the pixels was compared.

    Args:
        leaderboard: Ranked.
        answer: Sentences, in Markdown.
        dataset: What `dataset.json` says.
        model_name: The name of the registered model.
    """
    cells = [row for row, _ in leaderboard.cells]
    if not cells:
        return None
    champion = cells[0]  # the pixels may be ahead of it, but have no model
    return RunNotes(
        overview=overview(answer, leaderboard),
        tags={
            row.name: {**cell_tags(row, is_champion=row is champion), **note_tag(cell_note(row, leaderboard))}
            for row in cells
        },
        metrics={
            "chosen_val_loss_mean": champion.val_loss,
            "chosen_test_accuracy_mean": champion.test_accuracy,
            "num_cells": len(cells),
        },
        champion=champion.name,
        model_card=model_card(champion, leaderboard, dataset=dataset, model_name=model_name),
    )


def cell_tags(row: Row, *, is_champion: bool) -> dict[str, str]:
    """Name what runs are searched by, beside backbone and strategy, which they carry from their beginning."""
    return {
        RANK: str(row.rank),
        TEST_RANK: str(row.test_rank),
        CHAMPION: str(is_champion).lower(),
        DIFFERS_FROM_CHOSEN: str(row.differs_from_chosen).lower(),
    }


def overview(answer: str, leaderboard: Leaderboard) -> str:
    """Spell the answer, by what rule it was chosen, and the first rows as a table."""
    rows, num_more = spelt_rows(leaderboard, verbatim)[:MAX_ROWS], len(leaderboard.rows) - MAX_ROWS
    table = markdown_table(list(rows[0]), [list(row.values()) for row in rows])
    lines = [answer, "", rule(leaderboard), "", table]
    if num_more > 0:
        lines += ["", f"{num_more} more are in `leaderboard.csv`."]
    return "\n".join(lines)


def cell_note(row: Row, leaderboard: Leaderboard) -> str:
    """Say what a cell is and what it may hide, what it chose, what came of it, and where that ranks."""
    return _filled("cell_note.md.jinja", row, leaderboard)


def model_card(row: Row, leaderboard: Leaderboard, *, dataset: Mapping[str, Any], model_name: str) -> str:
    """Say what the chosen model is and may hide, what it was measured at, what its limits are, and how to load it."""
    assert row.record is not None
    return _filled(
        "model_card.md.jinja",
        row,
        leaderboard,
        dataset=dataset,
        model_name=model_name,
        weights=finished_cell(row.record).tags,
        counts={split: sum(of_class.values()) for split, of_class in dataset["counts"].items()},
        folds=leaderboard.folds,
        classes=_listed([str(name) for name in dataset["classes"]]),
        recalls=recalls(row.recalls),
        rule=RULE,
    )


def _filled(template: str, row: Row, leaderboard: Leaderboard, **more: Any) -> str:
    """Fill in Markdown, in which nothing is escaped: names of classes come in `verbatim`."""
    assert row.record is not None
    warning = class_warning(row, verbatim)
    return TEMPLATES.get_template(template).render(
        row=row,
        best=row.record.best,
        choice=row.record.best.choice,
        but=f", but it {warning}" if warning else "",
        measured=f"{row.accuracy_text} over {row.metrics.num_seeds} seeds, 95 % interval {row.interval_text}",
        standing=_standing(row, leaderboard),
        **more,
    )


def recalls(found: ClassRecalls) -> str:
    """Spell the mean recall of every class over seeds, lowest first; where there are many, the lowest alone."""
    measured = [(each.name, each.recall) for each in found.classes if each.recall is not None]
    shown = ", ".join(f"{verbatim(name)} {recall:.3f}" for name, recall in measured[:MAX_CLASSES])
    return shown if len(measured) <= MAX_CLASSES else f"{shown}, {len(measured) - MAX_CLASSES} more above"


def _listed(classes: Sequence[str]) -> str:
    shown = ", ".join(map(verbatim, classes[:MAX_CLASSES]))
    return shown if len(classes) <= MAX_CLASSES else f"{shown} and {len(classes) - MAX_CLASSES} more"


def verbatim(name: str) -> str:
    """Keep a folder's name from being read as Markdown or as HTML."""
    return f"`{name.replace('`', chr(39))}`"


def _standing(row: Row, leaderboard: Leaderboard) -> str:
    chosen, num_rows = leaderboard.chosen.name, len(leaderboard.rows)
    place = f"Rank {row.rank} of {num_rows} by validation loss, {row.test_rank} by test accuracy"
    gap = row.beside_chosen
    if row is leaderboard.chosen:
        return f"{place}: chosen."
    verdict = "a significant difference" if row.differs_from_chosen else "no significant difference"
    return (
        f"{place}; {gap.estimate:+.3f} in test accuracy beside the chosen, {chosen}: {verdict} "
        f"(95 % interval {gap.low:+.3f} to {gap.high:+.3f})."
    )


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


def example_images() -> np.ndarray:
    """Return a few small training images: uint8 RGB `(n, side, side, 3)`.

    The model takes images of any size, and MLflow spells every number out, twice; so large ones are thinned.
    """
    in_folds = images_file(paths.DATASET, ALL)
    file = in_folds if in_folds.is_file() else images_file(paths.DATASET, "train")
    images = read_array(file, made_by=MADE_BY)[:NUM_EXAMPLES]
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
    connection.log_dataset(run, of)
    report = paths.REPORT / "index.html"
    files = {"report": [report] if report.is_file() else [], "": [paths.LEADERBOARD, paths.SUMMARY]}
    connection.attach(run, files)
    client.set_terminated(run.info.run_id)
    with where_offered("the note of the MLflow experiment", connection.uri_shown):
        # The kind lets the UI show what is for models that train.
        for tag, value in {**note, "mlflow.experimentKind": "custom_model_development"}.items():
            client.set_experiment_tag(connection.experiment_id, tag, value)
