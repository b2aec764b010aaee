"""What MLflow's UI says of a comparison, of every cell and of the chosen one's model: pure text, in Markdown."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment as Templates
from jinja2 import FileSystemLoader

from backbench.comparison.class_recalls import ClassRecalls
from backbench.comparison.conclusions import RULE, class_warning, rule, spelt_rows
from backbench.comparison.leaderboard import Leaderboard, Row
from backbench.runtime.markdown import markdown_table
from backbench.tracking.publishing import CHAMPION, DIFFERS_FROM_CHOSEN, RANK, TEST_RANK, RunNotes
from backbench.tracking.runs import finished_cell, note_tag

MAX_ROWS = 20
MAX_CLASSES = 20
TEMPLATES = Templates(loader=FileSystemLoader(Path(__file__).parent))


def run_notes(leaderboard: Leaderboard, answer: str, *, dataset: Mapping[str, Any], model_name: str) -> RunNotes | None:
    """Gather what MLflow is told of a comparison; None where nothing but the pixels was compared.

    Args:
        leaderboard: Ranked.
        answer: Sentences, in Markdown.
        dataset: What `dataset.json` says.
        model_name: The name of the registered model.
    """
    champion = chosen_cell(leaderboard)
    if champion is None:
        return None
    cells = [row for row, _ in leaderboard.cells]
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


def chosen_cell(leaderboard: Leaderboard) -> Row | None:
    """Return the cell of the lowest validation loss: pixels have no model."""
    return next((row for row, _ in leaderboard.cells), None)


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
