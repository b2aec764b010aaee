"""The activations of one cell on the disk, as the embed stage wrote them.

`<cell>/<boundary>/<split>.npy` is `(num_views, num_examples, *boundary_shape)`, and `<cell>/boundary.json` says what
there is.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from backbench.config.config import CellConfig
from backbench.data.arrays.array_file import ArrayFile
from backbench.data.arrays.dataset import images_file
from backbench.features.activations import PreparedImages
from backbench.runtime import paths
from backbench.runtime.errors import ArtifactError


@dataclass(frozen=True, eq=False)
class StoredActivations:
    """Activations of one split in a file, read row by row; compared by identity."""

    file: ArrayFile
    labels: np.ndarray

    @property
    def num_views(self) -> int:
        return int(self.file.shape[0])

    def take(self, views: np.ndarray, examples: np.ndarray) -> np.ndarray:
        return self.file[views * len(self.labels) + examples].astype("float32", copy=False)


def read_activations(folder: Path, boundary: str, split: str, labels: np.ndarray) -> StoredActivations:
    """Open the stored activations of one split.

    Raises:
        ArtifactError: the embed stage has not run, or its file does not fit the labels.
    """
    path = folder / boundary / f"{split}.npy"
    file = ArrayFile(path, made_by="embed", num_row_axes=2)
    if file.shape[1] != len(labels):
        raise ArtifactError(
            f"{path}: expected {len(labels)} examples, found {file.shape[1]}; run `dvc repro --force embed`"
        )
    return StoredActivations(file, labels)


def prepared_images(config: CellConfig, split: str) -> PreparedImages:
    """Open the images of one split as the cell's backbone takes them.

    Raises:
        ArtifactError: the prepare stage has not run.
    """
    images = ArrayFile(images_file(paths.DATASET, split), made_by="prepare")
    return PreparedImages(images, config.backbone, config.dataset.augmentation, config.dataset.split_seed)
