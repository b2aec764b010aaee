"""The baseline stage: the `pixels` row of every leaderboard."""

from collections.abc import Mapping

import numpy as np

from backbench.data.arrays.dataset import Dataset, open_dataset
from backbench.evaluation.baseline import (
    INVERSE_REGULARISATIONS,
    MOST_IMAGES,
    NUM_COMPONENTS,
    SEED,
    SIDE_PIXELS,
    PixelModel,
    drawn,
    fit_pixels,
    pixel_probabilities,
    pixel_values,
)
from backbench.evaluation.metrics import classification_metrics, evaluate
from backbench.evaluation.predictions import Predictions, write_predictions
from backbench.results.records import PIXELS, MetricsRecord, SeedRecord, fingerprint, over_seeds
from backbench.results.result_files import write_metrics
from backbench.runtime import paths

STRATEGY = "logistic_regression"
BOUNDS = (SIDE_PIXELS, MOST_IMAGES, NUM_COMPONENTS)


def baseline() -> str:
    """Write metrics and predictions of the pixels, and return the line that says where to look next.

    The test split is read once, after the regularisation is chosen on val.

    Raises:
        ArtifactError: prepare has not run.
    """
    dataset = open_dataset(paths.DATASET)
    rows = {split: drawn(dataset.labels[split]) for split in ("train", "val")}
    values = {split: pixel_values(dataset.images[split], rows[split]) for split in rows}
    labels = {split: dataset.labels[split][rows[split]] for split in rows}
    model = fit_pixels(values["train"], labels["train"], val_values=values["val"], val_labels=labels["val"])
    predicted = {split: pixel_probabilities(model, dataset.images[split]) for split in ("val", "test")}
    record = _record(dataset, model, predicted)
    path = paths.BASELINE / "metrics.json"
    write_predictions(
        paths.BASELINE_PREDICTIONS,
        {split: Predictions.of_seeds({SEED: each}, dataset.labels[split]) for split, each in predicted.items()},
    )
    write_metrics(path, record)
    accuracy = record.mean["test_accuracy"]
    fitted, there = len(rows["train"]), len(dataset.labels["train"])
    drawn_from = "" if fitted == there else f", fitted on {fitted:,} of {there:,} images"
    found = f"test accuracy {accuracy:.3f} with C = {model.inverse_regularisation:g}{drawn_from}"
    return f"pixels: {found}; metrics are in {path}"


def _record(dataset: Dataset, model: PixelModel, predicted: Mapping[str, np.ndarray]) -> MetricsRecord:
    on_val = classification_metrics(predicted["val"], dataset.labels["val"])
    metrics = evaluate(
        predicted["test"], dataset.labels["test"], val_probabilities=predicted["val"], val_labels=dataset.labels["val"]
    )
    metrics |= {"val_accuracy": on_val["accuracy"], "val_loss": on_val["log_loss"]}
    return MetricsRecord(
        cell_key=fingerprint(PIXELS, dict(dataset.sha256), *BOUNDS, INVERSE_REGULARISATIONS),
        backbone=PIXELS,
        strategy=STRATEGY,
        boundary="none",
        num_parameters=model.num_parameters,
        num_trainable_parameters=model.num_parameters,
        logme=None,
        model_bytes=None,
        **over_seeds([SeedRecord(seed=SEED, metrics=metrics, epochs=model.num_iterations, history=())]),
    )
