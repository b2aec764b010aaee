"""The baseline stage: the `pixels` row of every leaderboard."""

from collections.abc import Mapping, Sequence

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

    The test split is read once, after the regularisation is chosen on val. In folds, each has a regression of its own.

    Raises:
        ArtifactError: prepare has not run.
    """
    dataset = open_dataset(paths.DATASET)
    num_classes = len(dataset.classes)
    labels = {split: dataset.labels[dataset.array_of(split)] for split in ("val", "test")}
    predicted = {split: np.empty((len(of), num_classes), np.float32) for split, of in labels.items()}
    models, fitted = [], 0
    for fold in dataset.each_fold:
        model, num_fitted = _fit(dataset, fold)
        models.append(model)
        fitted += num_fitted
        for split, probabilities in predicted.items():
            rows = dataset.rows(split, fold)
            probabilities[rows] = pixel_probabilities(model, dataset.images[dataset.array_of(split)], rows)
    record = _record(dataset, models, predicted, labels)
    path = paths.BASELINE / "metrics.json"
    write_predictions(
        paths.BASELINE_PREDICTIONS,
        {split: Predictions.of_seeds({SEED: each}, labels[split]) for split, each in predicted.items()},
    )
    write_metrics(path, record)
    accuracy = record.mean["test_accuracy"]
    there = sum(len(dataset.rows("train", fold)) for fold in dataset.each_fold)
    drawn_from = "" if fitted == there else f", fitted on {fitted:,} of {there:,} images"
    strengths = ", ".join(f"{model.inverse_regularisation:g}" for model in models)
    found = f"test accuracy {accuracy:.3f} with C = {strengths}{drawn_from}"
    return f"pixels: {found}; metrics are in {path}"


def _fit(dataset: Dataset, fold: int | None) -> tuple[PixelModel, int]:
    """Fit the regression of a fold, or of the only split; return it with how many images it was fitted to."""
    values, labels = {}, {}
    for split in ("train", "val"):
        array, rows = dataset.array_of(split), dataset.rows(split, fold)
        rows = rows[drawn(dataset.labels[array][rows])]
        values[split], labels[split] = pixel_values(dataset.images[array], rows), dataset.labels[array][rows]
    model = fit_pixels(values["train"], labels["train"], val_values=values["val"], val_labels=labels["val"])
    return model, len(labels["train"])


def _record(
    dataset: Dataset,
    models: Sequence[PixelModel],
    predicted: Mapping[str, np.ndarray],
    labels: Mapping[str, np.ndarray],
) -> MetricsRecord:
    on_val = classification_metrics(predicted["val"], labels["val"])
    metrics = evaluate(predicted["test"], labels["test"], val_probabilities=predicted["val"], val_labels=labels["val"])
    model, num_iterations = models[0], sum(model.num_iterations for model in models)
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
        **over_seeds([SeedRecord(seed=SEED, metrics=metrics, epochs=num_iterations, history=())]),
    )
