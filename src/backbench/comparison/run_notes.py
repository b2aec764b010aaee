"""What MLflow's UI says of a comparison, of every cell and of the chosen one's model: pure text, in Markdown."""

from collections.abc import Mapping, Sequence
from typing import Any

from backbench.comparison.answering import RULE, class_warning, rule
from backbench.comparison.class_recalls import ClassRecalls
from backbench.comparison.leaderboard import Entry, Leaderboard, Row
from backbench.tracking.publishing import CHAMPION, DIFFERS_FROM_CHOSEN, RANK, TEST_RANK, RunNotes
from backbench.tracking.runs import finished_cell, note_tag

MAX_ROWS = 20
MAX_CLASSES = 20


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
    cells = [entry for entry in leaderboard.entries if entry.record is not None]
    return RunNotes(
        overview=overview(answer, leaderboard),
        tags={
            entry.row.name: {
                **cell_tags(entry, is_champion=entry is champion),
                **note_tag(cell_note(entry, leaderboard)),
            }
            for entry in cells
        },
        metrics={
            "chosen_val_loss_mean": champion.row.val_loss_mean,
            "chosen_test_accuracy_mean": champion.row.test_accuracy_mean,
            "num_cells": len(cells),
        },
        champion=champion.row.name,
        model_card=model_card(champion, leaderboard, dataset=dataset, model_name=model_name),
    )


def chosen_cell(leaderboard: Leaderboard) -> Entry | None:
    """Return the cell of the lowest validation loss: pixels have no model."""
    return next((entry for entry in leaderboard.entries if entry.record is not None), None)


def cell_tags(entry: Entry, *, is_champion: bool) -> dict[str, str]:
    """Name what runs are searched by, beside backbone and strategy, which they carry from their beginning."""
    return {
        RANK: str(entry.row.rank),
        TEST_RANK: str(entry.row.test_rank),
        CHAMPION: str(is_champion).lower(),
        DIFFERS_FROM_CHOSEN: str(entry.row.differs_from_chosen).lower(),
    }


def overview(answer: str, leaderboard: Leaderboard) -> str:
    """Spell the answer, by what rule it was chosen, and the first rows as a table."""
    num_more = len(leaderboard.entries) - MAX_ROWS
    lines = [answer, "", rule(leaderboard), "", *_table(leaderboard)]
    if num_more > 0:
        lines += ["", f"{num_more} more are in `leaderboard.csv`."]
    return "\n".join(lines)


def cell_note(entry: Entry, leaderboard: Leaderboard) -> str:
    """Say what a cell is and what it may hide, what it chose, what came of it, and where that ranks."""
    row, record = entry.row, entry.record
    assert record is not None
    choice = record.best.choice
    pruned = f", {row.num_pruned} of them pruned" if row.num_pruned else ""
    edge = row.learning_rate_at_edge
    at_edge = f" (at the {edge} edge of its range: widen it)" if edge in ("low", "high") else ""
    return "\n".join(
        [
            f"**{row.backbone}** by **{row.strategy}**, {row.weights} weights{_but(entry)}.",
            "",
            f"- Choice of {row.num_trials} trials{pruned}: learning rate {choice.learning_rate:.2e}{at_edge}, weight "
            f"decay {choice.weight_decay:.2e}, frozen up to `{choice.boundary}`, by validation loss "
            f"{choice.val_loss:.4f}.",
            f"- Validation loss {row.val_loss_mean:.4f} over {row.num_seeds} seeds; by it cells are ranked.",
            f"- Test accuracy {row.accuracy_text} over {row.num_seeds} seeds, 95 % interval {row.interval_text}.",
            f"- {_standing(entry, leaderboard)}",
            f"- {row.num_trainable_parameters:,} of {row.num_parameters:,} parameters train.",
        ]
    )


def model_card(entry: Entry, leaderboard: Leaderboard, *, dataset: Mapping[str, Any], model_name: str) -> str:
    """Say what the chosen model is and may hide, what it was measured at, what its limits are, and how to load it."""
    row, record = entry.row, entry.record
    assert record is not None
    best = record.best
    tags = finished_cell(record).tags
    counts = {split: sum(of_class.values()) for split, of_class in dataset["counts"].items()}
    classes = [str(name) for name in dataset["classes"]]
    return "\n".join(
        [
            f"# {row.name} on {dataset['name']}",
            "",
            f"Classifies RGB images into {len(classes)} classes{_but(entry)}: {_listed(classes)}. A {row.backbone} "
            f"adapted by {row.strategy}, chosen for the {RULE}; of its seeds, the one of the lowest loss.",
            "",
            f"- **Data**: {dataset['name']}, {counts['train']:,} images to train, {counts['val']:,} to validate, "
            f"{counts['test']:,} to test; SHA-256 `{best.digests.get('data')}`.",
            f"- **Test accuracy**: {row.accuracy_text} over {row.num_seeds} seeds, 95 % interval {row.interval_text}. "
            f"{_standing(entry, leaderboard)}",
            f"- **Recall by class**: {recalls(entry.recalls)}.",
            f"- **Pretrained weights**: {row.weights}, from {tags.get('backbench.weights_source', 'unknown')}; "
            f"licence {tags.get('backbench.weights_licence', 'not stated')}; SHA-256 of the values "
            f"`{best.digests.get('weights')}`.",
            "- **Limits**: measured on images like those it was trained on, and on no others; the interval covers the "
            "sampling of test images and seeds, not of training sets; its probabilities are not calibrated; an image "
            "of no class gets one all the same.",
            f'- **To load**: `mlflow.pyfunc.load_model("models:/{model_name}@champion").predict(images)`, with uint8 '
            f"RGB images `(n, height, width, 3)`; float32 probabilities `(n, {len(classes)})` come back, in the order "
            "of the classes above.",
        ]
    )


def recalls(found: ClassRecalls) -> str:
    """Spell the mean recall of every class over seeds, lowest first; where there are many, the lowest alone."""
    measured = [(each.name, each.recall) for each in found.classes if each.recall is not None]
    shown = ", ".join(f"{verbatim(name)} {recall:.3f}" for name, recall in measured[:MAX_CLASSES])
    return shown if len(measured) <= MAX_CLASSES else f"{shown}, {len(measured) - MAX_CLASSES} more above"


def _but(entry: Entry) -> str:
    warning = class_warning(entry, verbatim)
    return f", but it {warning}" if warning else ""


def _listed(classes: Sequence[str]) -> str:
    shown = ", ".join(map(verbatim, classes[:MAX_CLASSES]))
    return shown if len(classes) <= MAX_CLASSES else f"{shown} and {len(classes) - MAX_CLASSES} more"


def verbatim(name: str) -> str:
    """Keep a folder's name from being read as Markdown or as HTML."""
    return f"`{name.replace('`', chr(39))}`"


def _standing(entry: Entry, leaderboard: Leaderboard) -> str:
    row, chosen, num_rows = entry.row, leaderboard.chosen.row.name, len(leaderboard.entries)
    place = f"Rank {row.rank} of {num_rows} by validation loss, {row.test_rank} by test accuracy"
    gap = entry.beside_chosen
    if gap is None:
        return f"{place}: chosen."
    verdict = "a significant difference" if row.differs_from_chosen else "no significant difference"
    return (
        f"{place}; {gap.estimate:+.3f} in test accuracy beside the chosen, {chosen}: {verdict} "
        f"(95 % interval {gap.low:+.3f} to {gap.high:+.3f})."
    )


def _table(leaderboard: Leaderboard) -> list[str]:
    lines = [_cells(row, with_classes=leaderboard.may_hide_a_class) for row in leaderboard.rows[:MAX_ROWS]]
    head = list(lines[0])
    return [_line(head), "|" + "---|" * len(head), *(_line(list(line.values())) for line in lines)]


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _cells(row: Row, *, with_classes: bool) -> dict[str, str]:
    classes = {
        "balanced accuracy": f"{row.test_balanced_accuracy_mean:.3f}",
        "worst class": f"{verbatim(row.worst_class)} {row.worst_class_recall:.3f} of {row.worst_class_num_images:,}",
    }
    return {
        "": str(row.rank),
        "backbone": row.backbone,
        "strategy": row.strategy,
        "val loss": f"{row.val_loss_mean:.3f}",
        "test accuracy": row.accuracy_text,
        **(classes if with_classes else {}),
        "95 % interval": row.interval_text,
        "learning rate": "–" if row.learning_rate is None else f"{row.learning_rate:.1e}",
    }
