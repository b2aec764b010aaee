"""What MLflow's UI says of a comparison, of every cell and of the chosen one's model: pure text, in Markdown."""

from collections.abc import Mapping, Sequence
from typing import Any

from backbench.comparison.class_recalls import ClassRecalls
from backbench.comparison.conclusions import RULE, class_warning, rule, spelt_rows
from backbench.comparison.leaderboard import Leaderboard, Row
from backbench.runtime.markdown import markdown_table
from backbench.tracking.publishing import Findings
from backbench.tracking.runs import cell_parameters, weights_tags

MAX_ROWS = 20
MAX_CLASSES = 20


def run_notes(leaderboard: Leaderboard, answer: str, *, dataset: Mapping[str, Any], model_name: str) -> Findings | None:
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
    return Findings(
        overview=overview(answer, leaderboard),
        notes={row.name: cell_note(row, leaderboard) for row in cells},
        tags={row.name: cell_tags(row, is_champion=row is champion) for row in cells},
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
        "rank": str(row.rank),
        "test_rank": str(row.test_rank),
        "champion": str(is_champion).lower(),
        "differs_from_chosen": str(row.differs_from_chosen).lower(),
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
    record = row.record
    assert record is not None
    best, choice = record.best, record.best.choice
    pruned = f", {best.num_pruned} of them pruned" if best.num_pruned else ""
    at_edge = f" (at the {row.edge} edge of its range: widen it)" if row.edge else ""
    return "\n".join(
        [
            f"**{row.backbone}** by **{row.strategy}**, {row.weights} weights{_but(row)}.",
            "",
            f"- Choice of {best.num_trials} trials{pruned}: learning rate {choice.learning_rate:.2e}{at_edge}, weight "
            f"decay {choice.weight_decay:.2e}, frozen up to `{choice.boundary}`, by validation loss "
            f"{choice.val_loss:.4f}.",
            f"- Validation loss {row.val_loss:.4f} over {row.metrics.num_seeds} seeds; by it cells are ranked.",
            f"- Test accuracy {_measured(row)}.",
            f"- {_standing(row, leaderboard)}",
            f"- {row.metrics.num_trainable_parameters:,} of {row.metrics.num_parameters:,} parameters train.",
        ]
    )


def model_card(row: Row, leaderboard: Leaderboard, *, dataset: Mapping[str, Any], model_name: str) -> str:
    """Say what the chosen model is and may hide, what it was measured at, what its limits are, and how to load it."""
    record = row.record
    assert record is not None
    best = record.best
    weights = weights_tags(cell_parameters(best.configuration, best.digests))
    counts = {split: sum(of_class.values()) for split, of_class in dataset["counts"].items()}
    classes = [str(name) for name in dataset["classes"]]
    return "\n".join(
        [
            f"# {row.name} on {dataset['name']}",
            "",
            f"Classifies RGB images into {len(classes)} classes{_but(row)}: {_listed(classes)}. A {row.backbone} "
            f"adapted by {row.strategy}, chosen for the {RULE}; of its seeds, the one of the lowest loss.",
            "",
            f"- **Data**: {dataset['name']}, {counts['train']:,} images to train, {counts['val']:,} to validate, "
            f"{counts['test']:,} to test; SHA-256 `{best.digests.get('data')}`.",
            f"- **Test accuracy**: {_measured(row)}. {_standing(row, leaderboard)}",
            f"- **Recall by class**: {recalls(row.recalls)}.",
            f"- **Pretrained weights**: {row.weights}, from {weights.get('backbench.weights_source', 'unknown')}; "
            f"licence {weights.get('backbench.weights_licence', 'not stated')}; SHA-256 of the values "
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


def _measured(row: Row) -> str:
    return f"{row.accuracy_text} over {row.metrics.num_seeds} seeds, 95 % interval {row.interval_text}"


def _but(row: Row) -> str:
    warning = class_warning(row, verbatim)
    return f", but it {warning}" if warning else ""


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
    if gap is None:
        return f"{place}: chosen."
    verdict = "a significant difference" if row.differs_from_chosen else "no significant difference"
    return (
        f"{place}; {gap.estimate:+.3f} in test accuracy beside the chosen, {chosen}: {verdict} "
        f"(95 % interval {gap.low:+.3f} to {gap.high:+.3f})."
    )
