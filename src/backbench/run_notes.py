"""What MLflow's UI says of a comparison, of every cell and of the winner's model: pure text, in Markdown."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from backbench.leaderboard import Entry, Leaderboard, Row
from backbench.predictions import Predictions
from backbench.publishing import Findings
from backbench.runs import cell_parameters, weights_tags

MAX_ROWS = 20
MAX_CLASSES = 20


def findings(leaderboard: Leaderboard, answer: str, *, dataset: Mapping[str, Any], model_name: str) -> Findings | None:
    """Gather what MLflow is told of a comparison; None where nothing but the pixels was compared.

    Args:
        leaderboard: Ranked.
        answer: One sentence.
        dataset: What `dataset.json` says.
        model_name: The name of the registered model.
    """
    champion = best_cell(leaderboard)
    if champion is None:
        return None
    cells = [entry for entry in leaderboard.entries if entry.record is not None]
    return Findings(
        overview=overview(answer, leaderboard.rows),
        notes={entry.row.name: cell_note(entry, leaderboard) for entry in cells},
        tags={entry.row.name: cell_tags(entry, is_champion=entry is champion) for entry in cells},
        metrics={"best_test_accuracy_mean": champion.row.test_accuracy_mean, "num_cells": len(cells)},
        champion=champion.row.name,
        model_card=model_card(champion, leaderboard, dataset=dataset, model_name=model_name),
    )


def best_cell(leaderboard: Leaderboard) -> Entry | None:
    """Return the best row that is a cell: pixels have no model."""
    return next((entry for entry in leaderboard.entries if entry.record is not None), None)


def cell_tags(entry: Entry, *, is_champion: bool) -> dict[str, str]:
    """Name what runs are searched by, beside backbone and strategy, which they carry from their beginning."""
    return {
        "rank": str(entry.row.rank),
        "champion": str(is_champion).lower(),
        "tied_with_best": str(entry.row.is_tied).lower(),
    }


def overview(answer: str, rows: Sequence[Row]) -> str:
    """Spell the answer, and the best rows as a table."""
    lines = [answer, "", *_table(rows[:MAX_ROWS])]
    if len(rows) > MAX_ROWS:
        lines += ["", f"{len(rows) - MAX_ROWS} more are in `leaderboard.csv`."]
    return "\n".join(lines)


def cell_note(entry: Entry, leaderboard: Leaderboard) -> str:
    """Say what a cell is, what it chose, what came of it, and where that ranks."""
    row, record = entry.row, entry.record
    assert record is not None
    choice = record.best.choice
    pruned = f", {row.num_pruned} of them pruned" if row.num_pruned else ""
    edge = row.learning_rate_at_edge
    at_edge = f" (at the {edge} edge of its range: widen it)" if edge in ("low", "high") else ""
    return "\n".join(
        [
            f"**{row.backbone}** by **{row.strategy}**, {row.weights} weights.",
            "",
            f"- Choice of {row.num_trials} trials{pruned}: learning rate {choice.learning_rate:.2e}{at_edge}, weight "
            f"decay {choice.weight_decay:.2e}, frozen up to `{choice.boundary}`, by validation loss "
            f"{choice.val_loss:.4f}.",
            f"- Test accuracy {row.accuracy_text} over {row.num_seeds} seeds, 95 % interval {row.interval_text}.",
            f"- {_standing(entry, leaderboard)}",
            f"- {row.num_trainable_parameters:,} of {row.num_parameters:,} parameters train.",
        ]
    )


def model_card(entry: Entry, leaderboard: Leaderboard, *, dataset: Mapping[str, Any], model_name: str) -> str:
    """Say what the winner's model is, what it was measured at, what it must not be taken for, and how to load it."""
    row, record = entry.row, entry.record
    assert record is not None
    best = record.best
    weights = weights_tags(cell_parameters(best.configuration, best.digests))
    counts = {split: sum(of_class.values()) for split, of_class in dataset["counts"].items()}
    classes = [str(name) for name in dataset["classes"]]
    return "\n".join(
        [
            f"# {row.name} on {dataset['name']}",
            "",
            f"Classifies RGB images into {len(classes)} classes: {_listed(classes)}. A {row.backbone} adapted by "
            f"{row.strategy}; of its seeds, the one of the lowest validation loss.",
            "",
            f"- **Data**: {dataset['name']}, {counts['train']:,} images to train, {counts['val']:,} to validate, "
            f"{counts['test']:,} to test; SHA-256 `{best.digests.get('data')}`.",
            f"- **Test accuracy**: {row.accuracy_text} over {row.num_seeds} seeds, 95 % interval {row.interval_text}. "
            f"{_standing(entry, leaderboard)}",
            f"- **Recall by class**: {recalls(entry.predictions, classes)}.",
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


def recalls(predictions: Predictions, classes: Sequence[str]) -> str:
    """Spell the mean recall of every class over seeds, lowest first; where there are many, the lowest alone."""
    right = (predictions.probabilities.argmax(axis=2) == predictions.labels).mean(axis=0)
    means = {
        name: float(np.mean(right[predictions.labels == label]))
        for label, name in enumerate(classes)
        if np.any(predictions.labels == label)
    }
    lowest = sorted(means, key=lambda name: means[name])
    shown = ", ".join(f"{_verbatim(name)} {means[name]:.3f}" for name in lowest[:MAX_CLASSES])
    return shown if len(lowest) <= MAX_CLASSES else f"{shown}, {len(lowest) - MAX_CLASSES} more above"


def _listed(classes: Sequence[str]) -> str:
    shown = ", ".join(map(_verbatim, classes[:MAX_CLASSES]))
    return shown if len(classes) <= MAX_CLASSES else f"{shown} and {len(classes) - MAX_CLASSES} more"


def _verbatim(name: str) -> str:
    """Keep a folder's name from being read as Markdown or as HTML."""
    return f"`{name.replace('`', chr(39))}`"


def _standing(entry: Entry, leaderboard: Leaderboard) -> str:
    behind, best = entry.behind, leaderboard.best.row.name
    place = f"Rank {entry.row.rank} of {len(leaderboard.entries)}"
    if behind is None:
        tied = ", ".join(row.name for row in leaderboard.tied[1:])
        return f"{place}, but no difference to {tied} is shown." if tied else f"{place}, ahead of every other."
    gap = behind.difference
    interval = f"95 % interval {gap.low:.3f} to {gap.high:.3f}"
    if entry.row.is_tied:
        return f"{place}, tied with the best, {best}: no difference is shown ({interval})."
    return f"{place}, {gap.estimate:.3f} behind the best, {best} ({interval})."


def _table(rows: Sequence[Row]) -> list[str]:
    head = ["| | backbone | strategy | test accuracy | 95 % interval | learning rate |", "|---|---|---|---|---|---|"]
    return head + [
        f"| {row.rank} | {row.backbone} | {row.strategy} | {row.accuracy_text} "
        f"| {row.interval_text} "
        f"| {'–' if row.learning_rate is None else f'{row.learning_rate:.1e}'} |"
        for row in rows
    ]
