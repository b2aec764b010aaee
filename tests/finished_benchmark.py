"""A synthetic finished benchmark: every file that `compare` reads, made in the working folder within a second."""

import tempfile
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path

import numpy as np

from backbench import artifacts
from backbench.artifacts import Cell
from backbench.config import TrackingConfig
from backbench.evaluation import evaluate
from backbench.model_folder import FROZEN, ModelDescription, digests_of, seed_file, write_description
from backbench.predictions import Predictions, write_predictions
from backbench.records import (
    BestRecord,
    Choice,
    EpochRecord,
    SeedRecord,
    TrialRecord,
    summarise,
    write_best,
    write_history,
    write_metrics,
    write_trials,
)
from backbench.tracking import Tracker

CLASSES = ("zero", "één", "<three>")
NUM_TEST = 90
NUM_TRIALS = 4
NUM_EPOCHS = 3
SEEDS = (0, 1, 2)
BACKBONES = ("resnet50_slim", "vgg16_slim")
STRATEGIES = ("feature_extraction", "fine_tuning")
DIGESTS = {"data": "d" * 64, "weights": "e" * 64}


def cells() -> list[Cell]:
    """The grid of the synthetic benchmark, in its order."""
    return [Cell(backbone, strategy) for backbone in BACKBONES for strategy in STRATEGIES]


def epochs(rng: np.random.Generator, learning_rate: float) -> tuple[EpochRecord, ...]:
    """Curves that fall, with a little noise."""
    losses = np.sort(rng.uniform(0.3, 2.0, NUM_EPOCHS))[::-1]
    return tuple(
        EpochRecord(epoch, learning_rate, float(loss), float(loss + 0.1), float(1 / (1 + loss)))
        for epoch, loss in enumerate(losses)
    )


def labels() -> np.ndarray:
    """int32 `(NUM_TEST,)`: every class equally often."""
    return np.array([index % len(CLASSES) for index in range(NUM_TEST)], dtype=np.int32)


def probabilities(rng: np.random.Generator, accuracy: float) -> np.ndarray:
    """float32 `(NUM_TEST, num_classes)` that are right about a share `accuracy` of the images."""
    wrong = rng.uniform(size=NUM_TEST) >= accuracy
    shown = (labels() + wrong * rng.integers(1, len(CLASSES), NUM_TEST)) % len(CLASSES)
    logits = np.full((NUM_TEST, len(CLASSES)), 0.1)
    logits[np.arange(NUM_TEST), shown] = 1.0
    return np.asarray(logits / logits.sum(axis=1, keepdims=True), dtype=np.float32)


def seed_record(rng: np.random.Generator, seed: int, predicted: np.ndarray) -> SeedRecord:
    """A final model's record whose test metrics are those of its predictions."""
    test = evaluate(predicted, labels(), val_probabilities=predicted, val_labels=labels())
    history = epochs(rng, 1e-3)
    return SeedRecord(seed, {**test, "val_accuracy": 0.8, "val_loss": history[-1].val_loss}, NUM_EPOCHS, history)


def on_both_splits(by_seed: dict[int, np.ndarray]) -> dict[str, Predictions]:
    """The same predictions for val and test."""
    predictions = Predictions.of_seeds(by_seed, labels())
    return {"val": predictions, "test": predictions}


def write_dataset() -> None:
    """Write `dataset.json`, a manifest with rejected files, and the test labels."""
    counts = {split: dict.fromkeys(CLASSES, 10) for split in ("train", "val")}
    counts["test"] = {name: NUM_TEST // len(CLASSES) for name in CLASSES}
    content = {"name": "synthetic", "classes": list(CLASSES), "digest": DIGESTS["data"], "image_size_pixels": 8}
    rejected = {"unreadable": 2, "exact duplicate": 1}
    artifacts.write_json(
        artifacts.DATASET / "dataset.json", {**content, "counts": counts, "rejected": rejected, "split_seed": 0}
    )
    train_labels = np.repeat(np.arange(len(CLASSES), dtype=np.int32), 10)
    images = np.random.default_rng(0).integers(0, 256, (len(train_labels), 8, 8, 3), dtype=np.uint8)
    artifacts.write_array(artifacts.DATASET / "images-train.npy", images)
    artifacts.write_array(artifacts.DATASET / "labels-train.npy", train_labels)


def write_pixels(accuracy: float) -> None:
    """Write the row of logistic regression on raw pixels."""
    rng = np.random.default_rng(99)
    predicted = probabilities(rng, accuracy)
    metrics = summarise(
        [seed_record(rng, 0, predicted)],
        cell_key="f" * 16,
        backbone="pixels",
        strategy="logistic_regression",
        boundary="input",
        num_parameters=579,
        num_trainable_parameters=579,
        log_evidence=None,
        model_bytes=None,
    )
    write_metrics(artifacts.BASELINE / "metrics.json", metrics)
    write_predictions(artifacts.BASELINE_PREDICTIONS, on_both_splits({0: predicted}))


def trials(rng: np.random.Generator) -> tuple[TrialRecord, ...]:
    """A study over four learning rates; the last trial was pruned."""
    rates = np.geomspace(1e-4, 1e-1, NUM_TRIALS)
    made = []
    for index, rate in enumerate(float(value) for value in rates):
        curve = epochs(rng, rate)
        state = "PRUNED" if index == NUM_TRIALS - 1 else "COMPLETE"
        last = curve[-1]
        found = (last.val_loss, last.val_accuracy, NUM_EPOCHS, state, curve)
        made.append(TrialRecord(index, "output", rate, 1e-3, *found))
    return tuple(made)


def write_cell(cell: Cell, accuracy: float, *, seed: int) -> None:
    """Write what sweep and train leave of one cell whose test accuracy is about `accuracy`."""
    rng = np.random.default_rng(seed)
    study = trials(rng)
    chosen = min(study, key=lambda trial: trial.val_loss)
    ranges = {"learning_rate": {"low": 1e-4, "high": 1e-1}, "weight_decay": {"low": 1e-5, "high": 1e-1}}
    configuration = {
        "dataset": {"name": "synthetic", "split_seed": 0},
        "weights": {"name": "formula"},
        "backbone": {"name": cell.backbone, "formula": None},
        "strategy": {"name": cell.strategy, **ranges, "rates": [0.001, 1e-05]},
    }
    choice = Choice(
        chosen.index, "output", chosen.learning_rate, chosen.weight_decay, chosen.val_loss, chosen.val_accuracy
    )
    key = f"1234567890123e{seed:02d}"  # looks like a float, as one digest in thousands does
    best = BestRecord(
        cell_key=key,
        backbone=cell.backbone,
        strategy=cell.strategy,
        num_trials=NUM_TRIALS,
        num_pruned=1,
        num_epochs=NUM_TRIALS * NUM_EPOCHS,
        choice=choice,
        learning_rate_at_edge="low" if seed else "none",
        digests=dict(DIGESTS),
        configuration=configuration,
    )
    by_seed = {each: probabilities(rng, accuracy) for each in SEEDS}
    seeds = [seed_record(rng, each, predicted) for each, predicted in by_seed.items()]
    metrics = summarise(
        seeds,
        cell_key=key,
        backbone=cell.backbone,
        strategy=cell.strategy,
        boundary="output",
        num_parameters=1_234_567,
        num_trainable_parameters=1_539,
        log_evidence=0.1 * BACKBONES.index(cell.backbone) if cell.backbone in BACKBONES else 0.0,
        model_bytes=5_000_000,
    )
    write_trials(cell, study)
    write_best(cell, best)
    write_history(cell, seeds)
    write_metrics(cell.metrics, metrics)
    write_predictions(cell.predictions, on_both_splits(by_seed))
    write_model(cell, configuration, rng)


def write_model(cell: Cell, configuration: dict[str, object], rng: np.random.Generator) -> None:
    """Write a folder of models whose weights are noise: they are copied and compared, never loaded."""
    names = [FROZEN, *(seed_file(seed) for seed in SEEDS)]
    for name in names:
        with artifacts.replacing(cell.models / name) as temporary:
            temporary.write_bytes(rng.bytes(1000))
    description = ModelDescription(
        cell=str(cell),
        classes=list(CLASSES),
        boundary="output",
        seed=1,
        sha256=digests_of(cell.models, names),
        configuration=configuration,
    )
    write_description(cell.models, description)


def make_finished_benchmark() -> list[Cell]:
    """Write everything into the working folder; the last cell is the best by far, its accuracy about 0.95."""
    write_dataset()
    write_pixels(0.4)
    for seed, (cell, accuracy) in enumerate(zip(cells(), (0.5, 0.6, 0.7, 0.95), strict=True)):
        write_cell(cell, accuracy, seed=seed)
    return cells()


@cache
def fresh_store() -> bytes:
    """An MLflow store made by two threads that meet in it; making one takes seconds, so tests copy it."""
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(2) as threads:
        config = TrackingConfig(uri=f"sqlite:///{folder}/mlflow.db", experiment="met")
        list(threads.map(Tracker, [config, config]))
        assert sorted(path.name for path in Path(folder).iterdir()) == ["mlartifacts", "mlflow.db"]
        return (Path(folder) / "mlflow.db").read_bytes()
