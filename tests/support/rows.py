"""Rows of a leaderboard whose accuracies are told, without a file."""

import numpy as np

from backbench.comparison.leaderboard import Finished, Leaderboard
from backbench.comparison.ranking import rank
from backbench.evaluation.metrics import classification_metrics
from backbench.evaluation.predictions import Predictions
from backbench.results.records import MetricsRecord, SeedRecord, over_seeds

NUM_IMAGES, SEEDS = 400, (0, 1, 2)


def right_about(accuracy: float) -> Predictions:
    """Be right about a share of the images, the same ones for equal shares."""
    labels = np.arange(NUM_IMAGES, dtype=np.int32) % 2
    hard = np.random.default_rng(0).permutation(NUM_IMAGES)
    tables = [np.where(np.roll(hard, seed) < accuracy * NUM_IMAGES, labels, 1 - labels) for seed in SEEDS]
    return Predictions(SEEDS, labels, np.stack([np.eye(2, dtype=np.float32)[table] * 0.8 + 0.1 for table in tables]))


def finished(
    backbone: str, strategy: str, accuracy: float, logme: float | None = None, *, on_val: float | None = None
) -> Finished:
    """A row of this test accuracy, and of the same on val unless said."""
    predictions = {"test": right_about(accuracy), "val": right_about(accuracy if on_val is None else on_val)}
    per_seed = [
        {
            f"{split}_{name}": value
            for split, each in predictions.items()
            for name, value in classification_metrics(each.probabilities[seed], each.labels).items()
        }
        | {"test_ece_after_temperature_scaling": 0.0}
        for seed in range(len(SEEDS))
    ]
    for each in per_seed:
        each["val_loss"] = each["val_log_loss"]
    metrics = MetricsRecord(
        cell_key="",
        backbone=backbone,
        strategy=strategy,
        boundary="output",
        num_parameters=1,
        num_trainable_parameters=1,
        logme=logme,
        model_bytes=1,
        **over_seeds([SeedRecord(seed, each, 1, ()) for seed, each in zip(SEEDS, per_seed, strict=True)]),
    )
    return Finished(metrics, None, predictions.__getitem__)


def leaderboard(*rows: Finished) -> Leaderboard:
    return rank([*rows, finished("pixels", "logistic_regression", 0.5)], ("a", "b"))
