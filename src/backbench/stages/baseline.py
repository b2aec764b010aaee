"""The baseline stage: the `pixels` row of every leaderboard."""

from dataclasses import asdict

import numpy as np

from backbench import artifacts
from backbench.baseline import (
    INVERSE_REGULARISATIONS,
    SIDE_PIXELS,
    PixelModel,
    fit_pixels,
    pixel_probabilities,
    pixel_values,
)
from backbench.config import DatasetConfig
from backbench.data.dataset import Dataset, open_dataset
from backbench.evaluation import evaluate
from backbench.metrics import classification_metrics
from backbench.predictions import write_predictions
from backbench.records import MetricsRecord, SeedRecord, summarise, write_metrics

BACKBONE = "pixels"
STRATEGY = "logistic_regression"
SEED = 0


def baseline(config: DatasetConfig) -> str:
    """Write metrics and predictions of the pixels, and return the line that says where to look next.

    The test split is read once, after the regularisation is chosen on val.

    Raises:
        ArtifactError: prepare has not run.
    """
    dataset = open_dataset(artifacts.DATASET)
    values = {split: pixel_values(dataset.images[split]) for split in ("train", "val")}
    model = fit_pixels(
        values["train"], dataset.labels["train"], val_values=values["val"], val_labels=dataset.labels["val"]
    )
    val_metrics = classification_metrics(pixel_probabilities(model, values["val"]), dataset.labels["val"])
    test = pixel_probabilities(model, pixel_values(dataset.images["test"]))
    record = _record(config, dataset, model, val_metrics, test)
    path = artifacts.BASELINE / "metrics.json"
    write_predictions(artifacts.BASELINE_PREDICTIONS, {SEED: test}, dataset.labels["test"])
    write_metrics(path, record)
    accuracy = record.mean["test_accuracy"]
    return f"pixels: test accuracy {accuracy:.3f} with C = {model.inverse_regularisation:g}; metrics are in {path}"


def _record(
    config: DatasetConfig, dataset: Dataset, model: PixelModel, val_metrics: dict[str, float], test: np.ndarray
) -> MetricsRecord:
    metrics = evaluate(test, dataset.labels["test"])
    metrics |= {"val_accuracy": val_metrics["accuracy"], "val_loss": val_metrics["log_loss"]}
    return summarise(
        [SeedRecord(seed=SEED, metrics=metrics, epochs=model.num_iterations, history=())],
        cell_key=artifacts.fingerprint(BACKBONE, asdict(config), dataset.digest, SIDE_PIXELS, INVERSE_REGULARISATIONS),
        backbone=BACKBONE,
        strategy=STRATEGY,
        boundary="none",
        num_parameters=model.num_parameters,
        num_trainable_parameters=model.num_parameters,
    )
