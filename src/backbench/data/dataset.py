"""The prepared data set, as every later stage opens it: memory-mapped pixels and labels of each split."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from backbench import artifacts
from backbench.errors import ArtifactError

SPLITS = ("train", "val", "test")
MADE_BY = "prepare"
DESCRIPTION = "dataset.json"
MANIFEST = "manifest.csv"


@dataclass(frozen=True)
class Dataset:
    """Images and labels by split.

    `images[split]` is uint8 RGB `(n, S, S, 3)`, memory-mapped and read-only; `labels[split]` is int32 `(n,)` and
    counts into `classes`. `digest` is the SHA-256 of the source images' paths and bytes, `sha256` that of every file of
    arrays by its name: what decides a result, whatever it was made of.
    """

    name: str
    classes: tuple[str, ...]
    digest: str
    sha256: Mapping[str, str]
    image_size_pixels: int
    images: Mapping[str, np.ndarray]
    labels: Mapping[str, np.ndarray]


def images_file(folder: Path, split: str) -> Path:
    """Name the file of a split's pixels."""
    return folder / f"images-{split}.npy"


def labels_file(folder: Path, split: str) -> Path:
    """Name the file of a split's labels."""
    return folder / f"labels-{split}.npy"


def open_dataset(folder: Path) -> Dataset:
    """Open what prepare wrote; pixels are read only when they are looked at.

    Raises:
        ArtifactError: prepare has not run, or its description is not of this form.
    """
    described = artifacts.read_json(folder / DESCRIPTION, made_by=MADE_BY)
    if "sha256" not in described:
        raise ArtifactError(
            f"{folder / DESCRIPTION}: expected the key `sha256`, found none, as older versions wrote it; "
            f"run `dvc repro {MADE_BY}`"
        )
    images = {split: artifacts.read_array(images_file(folder, split), made_by=MADE_BY) for split in SPLITS}
    labels = {split: artifacts.read_array(labels_file(folder, split), made_by=MADE_BY) for split in SPLITS}
    return Dataset(
        name=described["name"],
        classes=tuple(described["classes"]),
        digest=described["digest"],
        sha256=described["sha256"],
        image_size_pixels=described["image_size_pixels"],
        images=images,
        labels={split: np.array(values) for split, values in labels.items()},
    )
