"""100,000 images of 100 classes, 50 cells, three seeds, features of 2,048 in four views: every stage stays under 8 GB.

The bytes follow from shapes and dtypes that the code itself makes, at a size that a test can hold; a run of that size
shows that they are those that are taken.
"""

import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pyarrow as pa
import pytest

from backbench.adaptation import strategies
from backbench.adaptation.strategies import TrainablePart, feature_bytes
from backbench.comparison import ranking
from backbench.comparison.leaderboard import Finished
from backbench.comparison.resampling import BLOCK_DRAWS, _Measured, resample
from backbench.evaluation import baseline, transferability
from backbench.evaluation.metrics import classification_metrics
from backbench.evaluation.predictions import Predictions, read_predictions, write_predictions
from backbench.runtime.errors import MemoryLimitError
from tests.support.configs import strategy_config
from tests.support.rows import finished
from tests.support.tiny import BACKBONE, blobs

pytestmark = pytest.mark.system

NUM_IMAGES, NUM_CELLS, NUM_SEEDS, NUM_CLASSES = 100_000, 50, 3, 100
FEATURE_DIM, NUM_VIEWS = 2048, 4
MOST_BYTES = 8 * 10**9
DOUBLE = np.dtype("float64").itemsize


def drawn_predictions(num_images: int, num_classes: int, *, seed: int = 0) -> Predictions:
    random = np.random.default_rng(seed)
    probabilities = random.random((NUM_SEEDS, num_images, num_classes), dtype=np.float32)
    probabilities /= probabilities.sum(axis=2, keepdims=True)
    labels = np.arange(num_images, dtype=np.int32) % num_classes
    return Predictions(tuple(range(NUM_SEEDS)), labels, probabilities)


def array_bytes(value: Any) -> int:
    """Add up the arrays of an object, of sparse matrices and of lists of them too."""
    if isinstance(value, np.ndarray):
        return value.nbytes
    if isinstance(value, list):
        return sum(map(array_bytes, value))
    return sum(map(array_bytes, vars(value).values())) if hasattr(value, "__dict__") else 0


def kept_bytes(num_images: int, num_classes: int) -> int:
    """What compare keeps of a cell: it grows with the images, and hardly with the classes."""
    return array_bytes(_Measured(drawn_predictions(1000, num_classes))) * num_images // 1000


def compared_bytes(num_cells: int, num_images: int, num_classes: int) -> int:
    """What is kept of all cells, the probabilities of one with what reading takes, and the counts of a resample."""
    probabilities = 4 * NUM_SEEDS * num_images * num_classes
    reading = 5 * probabilities  # both splits as Arrow reads them, one of them, it in order, and as one array
    return num_cells * kept_bytes(num_images, num_classes) + reading + 3 * BLOCK_DRAWS * DOUBLE


def evidence_bytes(num_images: int, feature_dim: int) -> int:
    """The drawn features, and their decomposition: the features, a copy of LAPACK's, the result and what is kept."""
    rows = len(transferability.drawn(num_images))
    return rows * feature_dim * (4 + 4 * DOUBLE)


def trained_bytes(num_images: int, num_classes: int, num_views: int, feature_dim: int) -> int:
    """Pooled features of train and val, the evidence of some, and probabilities of val and test with their metrics."""
    features = feature_bytes(num_views, num_images, feature_dim) + feature_bytes(1, num_images, feature_dim)
    predicted = 2 * 4 * num_images * num_classes * (1 + NUM_SEEDS) + 4 * DOUBLE * num_images * num_classes
    return features + max(evidence_bytes(num_images, feature_dim), predicted)


def pixel_bytes(num_images: int, num_classes: int) -> int:
    """Pixels of what is fitted and chosen on, their standardised and centred copies, and all predictions."""
    rows = 2 * min(num_images, baseline.MOST_IMAGES)
    predicted = 2 * 4 * num_images * num_classes + 4 * DOUBLE * num_images * num_classes
    return rows * baseline.NUM_VALUES * DOUBLE * 3 + predicted


@pytest.mark.parametrize(
    ("stage", "num_bytes"),
    {
        "compare": compared_bytes(NUM_CELLS + 1, NUM_IMAGES, NUM_CLASSES),
        "sweep and train": trained_bytes(NUM_IMAGES, NUM_CLASSES, NUM_VIEWS, FEATURE_DIM),
        "baseline": pixel_bytes(NUM_IMAGES, NUM_CLASSES),
    }.items(),
)
def test_a_large_benchmark_fits_into_memory(stage: str, num_bytes: int) -> None:
    assert 0 < num_bytes < MOST_BYTES, stage


def peak_bytes(call: Callable[[], object]) -> int:
    """Return what NumPy and Python held at most, and Arrow, which allocates on its own."""
    usual = pa.default_memory_pool()
    pool = pa.proxy_memory_pool(usual)
    pa.set_memory_pool(pool)
    tracemalloc.start()
    try:
        call()
        return tracemalloc.get_traced_memory()[1] + pool.max_memory()
    finally:
        tracemalloc.stop()
        pa.set_memory_pool(usual)


def test_comparing_takes_what_is_predicted_and_of_another_cell_only_what_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    num_images, num_classes = 20_000, 20
    predictions = drawn_predictions(num_images, num_classes)
    write_predictions(tmp_path / "one.parquet", {"val": predictions, "test": predictions})
    per_seed = [classification_metrics(each, predictions.labels) for each in predictions.probabilities]
    of_test = {f"test_{name}": float(np.mean([each[name] for each in per_seed])) for name in per_seed[0]}
    one = finished("one", "any", 0.5)
    one = Finished(
        replace(one.metrics, mean=one.metrics.mean | of_test),
        None,
        lambda split: read_predictions(tmp_path / "one.parquet", made_by="train", split=split),
    )
    monkeypatch.setattr(ranking, "resample", partial(resample, num_resamples=20))
    peaks = {
        number: peak_bytes(
            lambda number=number: ranking.rank(  # type: ignore[misc]
                [replace(one, metrics=replace(one.metrics, backbone=str(place))) for place in range(number)],
                [str(label) for label in range(num_classes)],
            )
        )
        for number in (2, 12)
    }
    predicted = {number: compared_bytes(number, num_images, num_classes) for number in peaks}
    assert 0.5 * predicted[12] < peaks[12] < 1.5 * predicted[12]
    grown = (peaks[12] - peaks[2]) / 10
    assert 0.5 * kept_bytes(num_images, num_classes) < grown < 1.5 * kept_bytes(num_images, num_classes)


def wide_trainable_part(feature_dim: int) -> TrainablePart:
    values = keras.Input((4,))
    suffix = keras.Model(values, keras.layers.Dense(feature_dim)(values))
    backbone = replace(BACKBONE, feature_dim=feature_dim)
    return TrainablePart(suffix, backbone, strategy_config("fine_tuning"), num_classes=3)


def test_pooled_features_are_held_once(monkeypatch: pytest.MonkeyPatch) -> None:
    trainable_part = wide_trainable_part(512)
    trainable_part.frozen_features(blobs(128, (4,)))  # traces
    data = blobs(3000, (4,), num_views=4)
    predicted = feature_bytes(4, 3000, 512)
    assert predicted <= peak_bytes(lambda: trainable_part.frozen_features(data)) < 1.3 * predicted
    trainable_part.forget_features()
    tracemalloc.start()
    trainable_part.frozen_features(data)
    assert tracemalloc.get_traced_memory()[0] >= predicted
    trainable_part.forget_features()
    assert tracemalloc.get_traced_memory()[0] < 0.1 * predicted
    tracemalloc.stop()
    monkeypatch.setattr(strategies, "free_memory_bytes", lambda: predicted - 1)
    with pytest.raises(MemoryLimitError, match=r"pooled features of all views, 24\.6 MB, .* lower views in"):
        trainable_part.frozen_features(data)


def test_the_evidence_of_many_images_is_that_of_a_drawn_part(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transferability, "MOST_EXAMPLES", 500)
    assert transferability.drawn(500).tolist() == list(range(500))
    rows = transferability.drawn(4000)
    assert len(rows) == len(set(rows)) == 500
    assert np.all(np.diff(rows) > 0)
    np.testing.assert_array_equal(rows, transferability.drawn(4000))
