"""A synthetic finished benchmark: every file that `compare` reads, made in the working folder within a second."""

import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np

from backbench.comparison.leaderboard import Leaderboard, MeasuredCost
from backbench.config.running_config import TrackingConfig
from backbench.data.arrays.file_formats import write_array, write_csv, write_json
from backbench.data.ingest.store import MANIFEST_COLUMNS
from backbench.evaluation.metrics import classification_metrics, evaluate
from backbench.evaluation.predictions import Predictions, write_predictions
from backbench.results.model_folder import FROZEN, ModelDescription, digests_of, seed_file, write_description
from backbench.results.records import (
    BestRecord,
    Choice,
    EpochRecord,
    MetricsRecord,
    SeedRecord,
    TrialRecord,
    over_seeds,
)
from backbench.results.result_files import write_best, write_history, write_metrics, write_trials
from backbench.runtime import paths
from backbench.runtime.atomic_files import replacing
from backbench.runtime.paths import Cell
from backbench.tracking.connection import Connection
from backbench.tracking.refusals import twice

CLASSES = ("zero", "één", "<three>")
# As in a public set of textile pictures: half of them show no fault.
UNEVEN = {"nominal": 200, "<local>": 100, "global": 100}
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


def labels(classes: Sequence[str] = CLASSES) -> np.ndarray:
    """int32 `(NUM_TEST,)`: every class equally often, but for the uneven ones."""
    if tuple(classes) == tuple(UNEVEN):
        return np.repeat(np.arange(3, dtype=np.int32), list(UNEVEN.values()))
    return np.array([index % len(classes) for index in range(NUM_TEST)], dtype=np.int32)


def probabilities(rng: np.random.Generator, accuracy: float, classes: Sequence[str] = CLASSES) -> np.ndarray:
    """float32 `(NUM_TEST, num_classes)` that are right about a share `accuracy` of the images."""
    actual = labels(classes)
    wrong = rng.uniform(size=len(actual)) >= accuracy
    return _showing((actual + wrong * rng.integers(1, len(classes), len(actual))) % len(classes), classes)


def finding(recalls: Sequence[float], *, num_seeds: int = len(SEEDS)) -> dict[int, np.ndarray]:
    """By seed, float32 `(400, 3)` that find these shares of the uneven classes, over all seeds together."""
    actual, found = labels(tuple(UNEVEN)), {}
    for seed in range(num_seeds):
        shown = np.where(actual == 0, 1, 0)
        for label, (num_images, recall) in enumerate(zip(UNEVEN.values(), recalls, strict=True)):
            num_right = (round(recall * num_images * num_seeds) + seed) // num_seeds
            shown[np.flatnonzero(actual == label)[:num_right]] = label
        found[seed] = _showing(shown, tuple(UNEVEN))
    return found


def _showing(shown: np.ndarray, classes: Sequence[str]) -> np.ndarray:
    logits = np.full((len(shown), len(classes)), 0.1)
    logits[np.arange(len(shown)), shown] = 1.0
    return np.asarray(logits / logits.sum(axis=1, keepdims=True), dtype=np.float32)


def seed_record(
    rng: np.random.Generator, seed: int, on_val: np.ndarray, on_test: np.ndarray, classes: Sequence[str] = CLASSES
) -> SeedRecord:
    """A final model's record whose metrics are those of its predictions."""
    test = evaluate(on_test, labels(classes), val_probabilities=on_val, val_labels=labels(classes))
    val = classification_metrics(on_val, labels(classes))
    found = {**test, "val_accuracy": val["accuracy"], "val_loss": val["log_loss"]}
    return SeedRecord(seed, found, NUM_EPOCHS, epochs(rng, 1e-3))


def on_both_splits(
    on_val: dict[int, np.ndarray], on_test: dict[int, np.ndarray], classes: Sequence[str] = CLASSES
) -> dict[str, Predictions]:
    """Predictions by seed, of as many images of val as of test."""
    by_split = {"val": on_val, "test": on_test}
    return {split: Predictions.of_seeds(by_seed, labels(classes)) for split, by_seed in by_split.items()}


def write_dataset(classes: Sequence[str] = CLASSES) -> None:
    """Write `dataset.json`, a manifest with rejected files, the images, and the train labels."""
    counts = {split: dict.fromkeys(classes, 10) for split in ("train", "val")}
    test_labels = labels(classes)
    counts["test"] = dict(zip(classes, np.bincount(test_labels).tolist(), strict=True))
    content = {"name": "synthetic", "classes": list(classes), "digest": DIGESTS["data"], "image_size_pixels": 8}
    sides = {"8": sum(sum(of.values()) for of in counts.values())}
    content |= {"resize": "crop", "sides": sides, "depth": None, "num_nearly_constant": 0}
    left_out = {
        "rejected": {"unreadable": 2, "exact duplicate": 1},
        "litter": {"@eaDir": 3},
        "min_per_class": 6,
        "rare_classes": {"<two>": 5},
    }
    write_json(paths.DATASET / "dataset.json", {**content, "counts": counts, **left_out, "split_seed": 0})
    write_csv(paths.DATASET / "manifest.csv", manifest(), MANIFEST_COLUMNS)
    train_labels = np.repeat(np.arange(len(classes), dtype=np.int32), 10)
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (len(train_labels), 8, 8, 3), dtype=np.uint8)
    write_array(paths.DATASET / "images-train.npy", images)
    write_array(paths.DATASET / "labels-train.npy", train_labels)
    test_images = rng.integers(0, 256, (len(test_labels), 8, 8, 3), dtype=np.uint8)
    write_array(paths.DATASET / "images-test.npy", test_images)
    write_array(paths.DATASET / "images-val.npy", images)


def manifest() -> list[dict[str, object]]:
    """One file that is used and three that are not, as prepare lists them."""
    verdicts = {
        "zero/a.png": "used",
        "zero/b.png": "exact duplicate of zero/a.png",
        "één/<broken>.jpg": "unreadable",
        "één/empty.jpg": "unreadable",
    }
    return [
        {
            "path": path,
            "digest": "a" * 64,
            "label": path.split("/")[0],
            "width": 8,
            "height": 8,
            "depth_bits": "",
            "split": "train" if verdict == "used" else "",
            "position": 0 if verdict == "used" else "",
            "verdict": verdict,
            "note": "",
        }
        for path, verdict in verdicts.items()
    ]


def write_pixels(accuracy: float, classes: Sequence[str] = CLASSES, *, predicted: np.ndarray | None = None) -> None:
    """Write the row of logistic regression on raw pixels."""
    rng = np.random.default_rng(99)
    predicted = probabilities(rng, accuracy, classes) if predicted is None else predicted
    metrics = MetricsRecord(
        cell_key="f" * 16,
        backbone="pixels",
        strategy="logistic_regression",
        boundary="input",
        num_parameters=579,
        num_trainable_parameters=579,
        logme=None,
        model_bytes=None,
        **over_seeds([seed_record(rng, 0, predicted, predicted, classes)]),
    )
    write_metrics(paths.BASELINE / "metrics.json", metrics)
    write_predictions(paths.BASELINE_PREDICTIONS, on_both_splits({0: predicted}, {0: predicted}, classes))


def trials(rng: np.random.Generator) -> tuple[TrialRecord, ...]:
    """A study over four learning rates; the last trial was pruned."""
    rates = np.geomspace(1e-4, 1e-1, NUM_TRIALS)
    made = []
    for index, rate in enumerate(float(value) for value in rates):
        curve = epochs(rng, rate)
        state, reason = "COMPLETE", ""
        if index == NUM_TRIALS - 1:
            state, reason = "PRUNED", f"worse than others after epoch {NUM_EPOCHS - 1}"
        last = curve[-1]
        found = (last.val_loss, last.val_accuracy, NUM_EPOCHS, state, curve, reason)
        made.append(TrialRecord(index, "output", rate, 1e-3, *found))
    return tuple(made)


def write_cell(
    cell: Cell,
    accuracy: float,
    *,
    seed: int,
    classes: Sequence[str] = CLASSES,
    val_accuracy: float | None = None,
    on_test: dict[int, np.ndarray] | None = None,
) -> None:
    """Write what sweep and train leave of one cell of about these accuracies; on val as on test unless said."""
    rng = np.random.default_rng(seed)
    study = trials(rng)
    chosen = min(study, key=lambda trial: trial.val_loss)
    ranges = {"learning_rate": {"low": 1e-4, "high": 1e-1}, "weight_decay": {"low": 1e-5, "high": 1e-1}}
    configuration = {
        "dataset": {"name": "synthetic", "image_size_pixels": 8, "resize": "crop", "split_seed": 0},
        "weights": {"name": "formula"},
        "backbone": {
            "name": cell.backbone,
            "input_size_pixels": 12 if cell.backbone == BACKBONES[0] else 8,
            "formula": None,
        },
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
    on_test = on_test or {each: probabilities(rng, accuracy, classes) for each in SEEDS}
    on_val = on_test
    if val_accuracy is not None:
        on_val = {each: probabilities(rng, val_accuracy, classes) for each in SEEDS}
    seeds = [seed_record(rng, each, on_val[each], on_test[each], classes) for each in SEEDS]
    metrics = MetricsRecord(
        cell_key=key,
        backbone=cell.backbone,
        strategy=cell.strategy,
        boundary="output",
        num_parameters=1_234_567,
        num_trainable_parameters=1_539,
        logme=0.1 * BACKBONES.index(cell.backbone) if cell.backbone in BACKBONES else 0.01 * seed,
        model_bytes=5_000_000 + 1_000_000 * seed,
        **over_seeds(seeds),
    )
    write_trials(cell, study)
    write_best(cell, best)
    write_history(cell, seeds)
    write_metrics(cell.metrics, metrics)
    write_predictions(cell.predictions, on_both_splits(on_val, on_test, classes))
    write_model(cell, configuration, rng, classes)


def write_model(cell: Cell, configuration: dict[str, object], rng: np.random.Generator, classes: Sequence[str]) -> None:
    """Write a folder of models whose weights are noise: they are copied and compared, never loaded."""
    names = [FROZEN, *(seed_file(seed) for seed in SEEDS)]
    for name in names:
        with replacing(cell.models / name) as temporary:
            temporary.write_bytes(rng.bytes(1000))
    description = ModelDescription(
        cell=str(cell),
        classes=list(classes),
        boundary="output",
        seed=1,
        sha256=digests_of(cell.models, names),
        configuration=configuration,
    )
    write_description(cell.models, description)


def make_finished_benchmark() -> list[Cell]:
    """Write everything into the working folder; the last cell is the best by far, on both splits about 0.95."""
    write_dataset()
    write_pixels(0.4)
    for seed, (cell, accuracy) in enumerate(zip(cells(), (0.5, 0.6, 0.7, 0.95), strict=True)):
        write_cell(cell, accuracy, seed=seed)
    return cells()


# What is said of the chosen row of the uneven benchmark.
LOCAL = (
    "finds the class <local> in only 1.7 % of its 100 test images, less often than chance would "
    "(balanced accuracy 0.668)"
)


def make_uneven_benchmark() -> list[Cell]:
    """Write a benchmark of uneven classes: the chosen has accuracy 0.748, and finds 1.7 % of a class."""
    classes = tuple(UNEVEN)
    write_dataset(classes)
    write_pixels(0.5, classes, predicted=finding((1.0, 0.0, 0.0), num_seeds=1)[0])
    found = [(0.95, 0.2, 0.9), (0.9, 0.4, 0.9), (0.98, 0.05, 0.95), (593 / 600, 5 / 300, 1.0)]
    for seed, (cell, recalls) in enumerate(zip(cells(), found, strict=True)):
        val_accuracy = 0.99 if seed == 3 else 0.8
        write_cell(cell, 0.0, seed=seed, classes=classes, val_accuracy=val_accuracy, on_test=finding(recalls))
    return cells()


def measured(leaderboard: Leaderboard) -> Leaderboard:
    """Say what every cell cost; the first of the grid was not measured."""
    places = {str(cell): place for place, cell in enumerate(cells())}
    return replace(
        leaderboard, rows=tuple(replace(row, cost=_cost(places.get(row.name, 0))) for row in leaderboard.rows)
    )


def _cost(place: int) -> MeasuredCost:
    if not place:
        return MeasuredCost()
    return MeasuredCost(
        latency_p50_ms=2.0 + 1.7 * place,
        latency_p95_ms=2.5 + 2.1 * place,
        throughput_images_per_second=900.0 / (1 + place),
        peak_memory_bytes=700_000_000 + 50_000_000 * place,
        embed_seconds=12.0,
        search_seconds=30.0 * place,
        training_seconds=8.0 * place,
        machine="A CPU, 2 cores",
        device="CPU",
        threads=1,
    )


def make_large_benchmark() -> list[Cell]:
    """Write 20 cells on ten classes, most of them close to one another."""
    classes = tuple(f"class {number}" for number in range(10))
    grid = [Cell(f"backbone_{number:02d}_large_patch16", strategy) for number in range(10) for strategy in STRATEGIES]
    write_dataset(classes)
    write_pixels(0.3, classes)
    accuracies = np.linspace(0.55, 0.92, len(grid))
    for seed, (cell, accuracy) in enumerate(zip(grid, accuracies, strict=True)):
        write_cell(cell, float(accuracy), seed=seed, classes=classes)
    return grid


@cache
def fresh_store() -> bytes:
    """An MLflow store made by two threads that meet in it; making one takes seconds, so tests copy it."""
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(2) as threads:
        config = TrackingConfig(uri=f"sqlite:///{folder}/mlflow.db", experiment="met")
        list(threads.map(lambda _: twice(lambda: Connection(config), config.uri), range(2)))
        assert sorted(path.name for path in Path(folder).iterdir()) == ["mlartifacts", "mlflow.db"]
        return (Path(folder) / "mlflow.db").read_bytes()
