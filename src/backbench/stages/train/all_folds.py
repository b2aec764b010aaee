"""The seeds of a cell over all its folds: every image predicted by the models that neither trained nor chose on it."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from backbench.data.arrays.dataset import Dataset
from backbench.evaluation.metrics import evaluate
from backbench.results.records import SeedRecord
from backbench.stages.train.seeds import PREDICTED_SPLITS, FinishedSeeds

# By fold; one, named None, without folds.
Finished = Mapping[int | None, FinishedSeeds]


def probabilities(dataset: Dataset, finished: Finished, seed: int, split: str) -> np.ndarray:
    """Return float32 `(num_images, num_classes)` in the order of the split's array: each image as its fold has it."""
    if None in finished:
        return finished[None].probabilities(seed, split)
    of_folds = {fold: each.probabilities(seed, split) for fold, each in finished.items()}
    num_images = len(dataset.labels[dataset.array_of(split)])
    found = np.empty((num_images, of_folds[0].shape[1]), dtype=np.float32)
    for fold, values in of_folds.items():
        found[dataset.rows(split, fold)] = values
    return found


def seed_record(dataset: Dataset, finished: Finished, seed: int) -> SeedRecord:
    """Return what was measured of a seed, on all images where there are folds: `val_loss` is then their mean too."""
    if None in finished:
        return finished[None].record(seed)
    records = {fold: each.record(seed) for fold, each in finished.items()}
    num_val = [len(dataset.rows("val", fold)) for fold in records]
    metrics = {
        name: float(np.average([record.metrics[name] for record in records.values()], weights=num_val))
        for name in ("val_loss", "val_accuracy")
    }
    labels = dataset.labels[dataset.array_of("test")]
    on_val, on_test = (probabilities(dataset, finished, seed, split) for split in PREDICTED_SPLITS)
    metrics |= evaluate(on_test, labels, val_probabilities=on_val, val_labels=labels)
    history = [replace(epoch, fold=fold) for fold, record in records.items() for epoch in record.history]
    return SeedRecord(seed, metrics, sum(record.epochs for record in records.values()), tuple(history))
