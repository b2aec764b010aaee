"""Predictions on the val and the test split, as training left them: by seed, image and class."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from backbench.data.arrays.file_formats import whole_file
from backbench.runtime.atomic_files import replacing
from backbench.runtime.errors import ArtifactError


@dataclass(frozen=True)
class Predictions:
    """Probabilities float32 `(num_seeds, num_images, num_classes)` and labels int32 `(num_images,)`."""

    seeds: tuple[int, ...]
    labels: NDArray[np.int32]
    probabilities: NDArray[np.float32]

    @classmethod
    def of_seeds(cls, probabilities: Mapping[int, np.ndarray], labels: np.ndarray) -> "Predictions":
        """Stack float32 `(num_images, num_classes)` by seed."""
        return cls(tuple(probabilities), labels, np.stack(list(probabilities.values())))

    def confusion(self) -> NDArray[np.int64]:
        """Count by true class (row) and predicted class (column) over all seeds: `(num_classes, num_classes)`."""
        num_classes = self.probabilities.shape[2]
        pairs = self.labels.astype(np.int64) * num_classes + self.probabilities.argmax(axis=2)
        return np.bincount(pairs.ravel(), minlength=num_classes**2).reshape(num_classes, num_classes)


def read_predictions(path: Path, made_by: str, split: str = "test") -> Predictions:
    """Read one cell's predictions on a split, ordered by seed and position.

    Raises:
        ArtifactError: the file is missing, or does not hold every image once per seed.
    """
    with whole_file(path, made_by):
        table = pq.read_table(path, filters=[("split", "=", split)])
    table = table.sort_by([("seed", "ascending"), ("position", "ascending")])
    seeds = np.unique(table["seed"].to_numpy())
    num_images = len(table) // max(1, len(seeds))
    expected = np.tile(np.arange(num_images), len(seeds))
    if not len(table) or not np.array_equal(table["position"].to_numpy(), expected):
        raise ArtifactError(f"{path}: expected every image once per seed, found others; run `dvc repro -f {made_by}`")
    labels = table["label"].to_numpy()[:num_images].astype(np.int32)
    return Predictions(tuple(int(seed) for seed in seeds), labels, _probabilities(table, len(seeds)))


def _probabilities(table: pa.Table, num_seeds: int) -> NDArray[np.float32]:
    num_classes = sum(name[:1] == "p" and name[1:].isdigit() for name in table.column_names)
    rows = np.empty((len(table), num_classes), np.float32)
    for index in range(num_classes):
        rows[:, index] = table[f"p{index}"].to_numpy()
    return rows.reshape(num_seeds, -1, num_classes)


def write_predictions(path: Path, predictions: Mapping[str, Predictions]) -> None:
    """Write one row per split, seed and image: split, seed, position in the split, label, p0 … pK-1.

    Args:
        path: A Parquet file.
        predictions: By split.
    """
    tables = [_table(split, each) for split, each in predictions.items()]
    with replacing(path) as temporary:
        pq.write_table(pa.concat_tables(tables), temporary)


def _table(split: str, predictions: Predictions) -> pa.Table:
    num_seeds, num_images, num_classes = predictions.probabilities.shape
    columns = {
        "split": pa.array([split] * num_seeds * num_images).dictionary_encode(),
        "seed": np.repeat(np.array(predictions.seeds, dtype=np.int32), num_images),
        "position": np.tile(np.arange(num_images, dtype=np.int32), num_seeds),
        "label": np.tile(np.asarray(predictions.labels, dtype=np.int32), num_seeds),
    }
    stacked = predictions.probabilities.reshape(-1, num_classes)
    return pa.table(columns | {f"p{index}": column for index, column in enumerate(stacked.T)})
