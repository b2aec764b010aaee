"""Few-shot tasks: which images of the pool train and validate, drawn by seed; the test images are always the same."""

from dataclasses import dataclass

import numpy as np

from backbench.runtime.errors import DatasetError


@dataclass(frozen=True, eq=False)
class TargetData:
    """A target data set: a pool to draw from, and a test set apart.

    Images are uint8 RGB `(n, S, S, 3)`, labels int32 `(n,)`; `digest` is a SHA-256 of the content.
    """

    name: str
    digest: str
    pool_images: np.ndarray
    pool_labels: np.ndarray
    test_images: np.ndarray
    test_labels: np.ndarray


@dataclass(frozen=True, eq=False)
class FewShotTask:
    """What a method sees: features `(n, feature_dim)` or images `(n, S, S, 3)`, with int32 labels `(n,)`."""

    train_values: np.ndarray
    train_labels: np.ndarray
    val_values: np.ndarray
    val_labels: np.ndarray
    test_values: np.ndarray
    test_labels: np.ndarray

    @property
    def num_classes(self) -> int:
        return int(self.train_labels.max()) + 1


@dataclass(frozen=True)
class Measurement:
    """What came of one method on one task: `choice` is what val chose, a learning rate or C, or None."""

    choice: float | None
    val_accuracy: float
    test_accuracy: float


def drawn(labels: np.ndarray, *, per_class: int, val_per_class: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw training and validation indices of a pool.

    Val depends on the seed alone; a smaller training set is part of every larger one of the same seed.

    Args:
        labels: int32 `(n,)` of the pool.
        per_class: Training images of each class.
        val_per_class: Validation images of each class.
        seed: At least 0.

    Returns:
        Sorted int64 indices of train and of val, disjoint.

    Raises:
        DatasetError: a class has too few images.
    """
    random = np.random.default_rng(seed)
    train, val = [], []
    for label in range(int(labels.max()) + 1):
        shuffled = random.permutation(np.flatnonzero(labels == label))
        if len(shuffled) < val_per_class + per_class:
            raise DatasetError(
                f"class {label}: expected a pool of at least {val_per_class} images for val and {per_class} for train,"
                f" found {len(shuffled)}; ask for fewer per class"
            )
        val.append(shuffled[:val_per_class])
        train.append(shuffled[val_per_class : val_per_class + per_class])
    return np.sort(np.concatenate(train)), np.sort(np.concatenate(val))


def few_shot_task(
    data: TargetData, pool_values: np.ndarray, test_values: np.ndarray, *, per_class: int, val_per_class: int, seed: int
) -> FewShotTask:
    """Draw a task; `pool_values` and `test_values` are the images of the data set, or their features."""
    train, val = drawn(data.pool_labels, per_class=per_class, val_per_class=val_per_class, seed=seed)
    return FewShotTask(
        train_values=pool_values[train],
        train_labels=data.pool_labels[train],
        val_values=pool_values[val],
        val_labels=data.pool_labels[val],
        test_values=test_values,
        test_labels=data.test_labels,
    )
