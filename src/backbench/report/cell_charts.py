"""A cell's search, training and mistakes: a Vega-Lite specification each for all cells, their data, and the worst."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from backbench.comparison.leaderboard import Leaderboard
from backbench.evaluation.predictions import Predictions
from backbench.report.vega import ACCENT, CONFIG, INK, SECOND, Spec, digits, numeric, static_svg
from backbench.results.records import PRUNED, CellRecord, EpochRecord, SeedRecord

SWEEP_FIELDS = ("trial", "learning rate", "weight decay", "val accuracy", "val loss", "epochs", "state")
# A picture per cell of more classes could not be read, and many of them would make the page heavy.
MAX_CLASSES = 20
# Of the chosen alone there may be more, and few are numbered.
MAX_CHOSEN_CLASSES, MAX_NUMBERED_CLASSES = 60, 12
SMALLEST_SHARE = 0.005
NUM_CONFUSED_PAIRS = 8
MAX_MISTAKES = 24


def cell_charts(leaderboard: Leaderboard) -> Spec:
    """Spell what the page's script draws of every cell: specifications, and data that is put in later."""
    classes = leaderboard.classes
    return {
        "cells": [_cell(record, mean_confusion(row.predictions)) for row, record in leaderboard.cells],
        "specs": {"sweep": _sweep(), "curves": _curves(), "confusion": _confusion(classes)},
        "fields": SWEEP_FIELDS,
        "classes": classes,
    }


def _tooltip(*fields: str) -> list[Spec]:
    return [{"field": name, "type": "nominal"} for name in fields]


def _sweep() -> Spec:
    """Specify a cell's trials: validation accuracy by learning rate; the chosen one is ringed."""
    states = {"domain": ["COMPLETE", PRUNED], "range": ["circle", "triangle-down"]}
    return {
        "config": CONFIG,
        "width": "container",
        "height": 150,
        "encoding": {
            "x": numeric("learning rate", scale={"type": "log", "padding": 12}, format="~e", tickCount=3),
            "y": numeric("val accuracy", scale={"zero": False, "padding": 12}, tickCount=4),
        },
        "layer": [
            {
                "mark": {"type": "point", "filled": True, "size": 50, "color": ACCENT, "opacity": 0.85},
                "encoding": {
                    "shape": {"field": "state", "scale": states, "legend": None},
                    "tooltip": _tooltip(*SWEEP_FIELDS),
                },
            },
            {
                "transform": [{"filter": "datum.chosen"}],
                "mark": {"type": "point", "size": 190, "color": SECOND, "strokeWidth": 2},
            },
        ],
    }


def _curves() -> Spec:
    """Specify a cell's final models: loss by epoch, a line per seed and split."""
    split, sides = {"field": "split", "legend": None}, ["validation", "training"]
    # Between whole epochs stands nothing.
    whole: Spec = {"tickMinStep": 1, "format": "d", "labelExpr": "datum.value % 1 ? '' : datum.label"}
    return {
        "config": CONFIG,
        "width": "container",
        "height": 150,
        "mark": {"type": "line", "strokeWidth": 1.4, "point": {"size": 14}},
        "encoding": {
            "x": numeric("epoch", **whole),
            "y": numeric("loss", title="loss, nats", tickCount=4),
            "color": {**split, "scale": {"domain": sides, "range": [ACCENT, SECOND]}},
            "strokeDash": {**split, "scale": {"domain": sides, "range": [[1, 0], [4, 3]]}},
            "detail": {"field": "seed"},
            "tooltip": _tooltip("seed", "split", "epoch", "loss"),
        },
    }


def _confusion(classes: Sequence[str]) -> Spec:
    """Specify what a cell takes for what: the share of each class, by row, that is predicted as each class."""

    def axis(name: str) -> Spec:
        labels = {"labelAngle": 0 if max(map(len, classes)) <= 3 else -90} if name == "predicted" else {}
        ticks = {"ticks": False, "domain": False, "labelLimit": 80, "title": name, **labels}
        return {"field": name, "type": "nominal", "scale": {"domain": list(classes)}, "axis": ticks}

    opacity = {"field": "share", "type": "quantitative", "scale": {"domain": [0, 1], "range": [0.08, 0.9]}}
    return {
        "config": CONFIG,
        "width": "container",
        "height": 40 + 14 * len(classes),
        "mark": {"type": "rect", "color": ACCENT},
        "encoding": {
            "x": axis("predicted"),
            "y": axis("true"),
            "opacity": {**opacity, "legend": None},
            "tooltip": _tooltip("true", "predicted", "share"),
        },
    }


def confusion_picture(share: NDArray[np.float64], classes: Sequence[str]) -> Markup | None:
    """Draw the share of each true class (row) that is predicted as each class (column).

    Args:
        share: float64 `(num_classes, num_classes)`; rows sum to 1, or to 0 where a class has no test image.
        classes: Names in the order of the labels.

    Returns:
        The picture, or None where there are more classes than a picture shows.
    """
    if len(classes) > MAX_CHOSEN_CLASSES:
        return None
    spec = _confusion(classes)
    encoding = spec.pop("encoding")
    layers = [{"mark": {**spec.pop("mark"), "aria": False}, "encoding": encoding}]
    if len(classes) <= MAX_NUMBERED_CLASSES:
        place = {"x": encoding["x"], "y": encoding["y"]}
        layers.append({"mark": {"type": "text", "color": INK}, "encoding": {**place, "text": {"field": "text"}}})
    side = max(320, 14 * len(classes))
    text = f"Confusion of {len(classes)} classes; mean recall {np.diag(share).mean():.3f}"
    values = [
        {
            "true": classes[true],
            "predicted": classes[predicted],
            "share": float(share[true, predicted]),
            "text": f"{share[true, predicted]:.2f}".lstrip("0") if share[true, predicted] >= SMALLEST_SHARE else "",
        }
        for true, predicted in np.argwhere(share > 0)
    ]
    return static_svg({**spec, "description": text, "width": side, "height": side, "layer": layers}, values)


def _cell(record: CellRecord, confusion: NDArray[np.float64]) -> Spec:
    """Spell what a cell's charts show compactly.

    Args:
        record: Its trials become rows in the order of `SWEEP_FIELDS`, its seeds losses by epoch.
        confusion: float64 `(num_classes, num_classes)`, rows are true classes; its shares become
            `[true, predicted, share]`, those below half a per cent left out, and all where there are many classes.
    """
    shown = confusion if len(confusion) <= MAX_CLASSES else np.zeros((0, 0))
    return {
        "confused": [
            [int(true), int(predicted), round(float(shown[true, predicted]), 3)]
            for true, predicted in np.argwhere(shown >= SMALLEST_SHARE)
        ],
        "chosen": [choice.trial for choice in record.best.folds or (record.best.choice,)],
        "trials": [
            [
                each.index,
                *map(digits, (each.learning_rate, each.weight_decay, each.val_accuracy, each.val_loss)),
                each.epochs,
                each.state,
            ]
            for each in record.trials
        ],
        "seeds": [_fit(name, history) for seed in record.seeds for name, history in _fits(seed)],
    }


def _fits(seed: SeedRecord) -> list[tuple[int | str, list[EpochRecord]]]:
    """Return the epochs of each final model of a seed, by its name: one, or one of every fold."""
    folds = dict.fromkeys(epoch.fold for epoch in seed.history) or {None: None}
    return [
        (
            seed.seed if fold is None else f"{seed.seed}, fold {fold}",
            [each for each in seed.history if each.fold == fold],
        )
        for fold in folds
    ]


def _fit(name: int | str, history: Sequence[EpochRecord]) -> Spec:
    return {
        "seed": name,
        "first": history[0].epoch if history else 0,
        "training": [digits(epoch.train_loss) for epoch in history],
        "validation": [digits(epoch.val_loss) for epoch in history],
    }


@dataclass(frozen=True)
class Mistake:
    """A test image by its position, its class and the one that was predicted, as labels; `confidence` is a share."""

    position: int
    actual: int
    predicted: int
    confidence: float


@dataclass(frozen=True)
class ConfusedPair:
    """The share of a class's images that is taken for another class, over all seeds."""

    actual: str
    predicted: str
    share: float


def mean_confusion(predictions: Predictions) -> NDArray[np.float64]:
    """Share of each true class by predicted class over all seeds, float64; a class with no image is all 0."""
    counts = predictions.confusion()
    return np.asarray(counts / np.maximum(counts.sum(axis=1, keepdims=True), 1), dtype=np.float64)


def confused_pairs(share: NDArray[np.float64], classes: Sequence[str]) -> list[ConfusedPair]:
    """Name the pairs that are confused most, at most eight."""
    wrong = share * (1 - np.eye(len(classes)))
    worst = np.argsort(-wrong, axis=None, kind="stable")[:NUM_CONFUSED_PAIRS]
    return [
        ConfusedPair(classes[actual], classes[predicted], float(wrong[actual, predicted]))
        for actual, predicted in zip(*np.unravel_index(worst, wrong.shape), strict=True)
        if wrong[actual, predicted] > 0
    ]


def worst_mistakes(predictions: Predictions) -> list[Mistake]:
    """Find the images whose wrong class has the highest probability on average over seeds, at most 24."""
    mean = predictions.probabilities.astype(np.float64).mean(axis=0)
    predicted = mean.argmax(axis=1)
    confidence = mean[np.arange(len(mean)), predicted]
    wrong = np.flatnonzero(predicted != predictions.labels)
    surest = wrong[np.argsort(-confidence[wrong], kind="stable")][:MAX_MISTAKES]
    return [
        Mistake(int(place), int(predictions.labels[place]), int(predicted[place]), float(confidence[place]))
        for place in surest
    ]
