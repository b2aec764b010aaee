"""The prepared data set, as every later stage opens it: memory-mapped pixels and labels of each split."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from backbench.config.dataset_config import DatasetConfig
from backbench.data.arrays.file_formats import read_array, read_json
from backbench.runtime.errors import ArtifactError

SPLITS = ("train", "val", "test")
# The one array that holds all images where these are in folds: every fold tests, selects and trains in turn.
ALL = "all"
MADE_BY = "prepare"
DESCRIPTION, FOLDS_FILE = "dataset.json", "folds.npy"
MANIFEST = "manifest.csv"
NEAR_COPY_OF = "near_copy_of"  # a column of the manifest, where there are near copies alone


@dataclass(frozen=True)
class Dataset:
    """Images and labels by split, or all of them at once, by `ALL`, where they are in folds.

    `images[split]` is uint8 RGB `(n, S, S, 3)`, memory-mapped and read-only; `labels[split]` is int32 `(n,)` and
    counts into `classes`. `digest` is the SHA-256 of the source images' paths and bytes, `sha256` that of every file of
    arrays by its name: what decides a result, whatever it was made of. `depth_bits` is how many bits its images deeper
    than 8 were scaled by, None where it has none. `sides` is int `(n,)`, the side of each photograph in a split that
    became the side of its square. `folds` is int32 `(n,)`, the fold of each image, None where there are none.
    """

    name: str
    classes: tuple[str, ...]
    digest: str
    sha256: Mapping[str, str]
    image_size_pixels: int
    depth_bits: int | None
    sides: np.ndarray
    images: Mapping[str, np.ndarray]
    labels: Mapping[str, np.ndarray]
    folds: np.ndarray | None = None

    @property
    def each_fold(self) -> tuple[int | None, ...]:
        """What is gone through, fold by fold; None, once, where there are no folds."""
        return (None,) if self.folds is None else tuple(range(int(self.folds.max()) + 1))

    def array_of(self, split: str) -> str:
        """Name the array that holds the images of a split."""
        return split if self.folds is None else ALL

    def rows(self, split: str, fold: int | None) -> np.ndarray:
        """Return the rising rows that a split has of its array, int `(m,)`: without folds all.

        In a fold, test is the fold itself, val the next one, and train the others.
        """
        if self.folds is None or fold is None:
            return np.arange(len(self.labels[split]))
        is_test, is_val = self.folds == fold, self.folds == (fold + 1) % len(self.each_fold)
        return np.flatnonzero({"test": is_test, "val": is_val, "train": ~(is_test | is_val)}[split])

    def decided(self, config: DatasetConfig) -> DatasetConfig:
        """Return the configuration with what it leaves to the images, as prepare found it."""
        return replace(config, image_size_pixels=self.image_size_pixels, depth_bits=self.depth_bits)


def images_file(folder: Path, split: str) -> Path:
    """Name the file of a split's pixels."""
    return folder / f"images-{split}.npy"


def labels_file(folder: Path, split: str) -> Path:
    """Name the file of a split's labels."""
    return folder / f"labels-{split}.npy"


def split_names(folds: int | None) -> tuple[str, ...]:
    """Name what an image is put into, once and for all: a split, or one of so many folds."""
    return SPLITS if folds is None else tuple(f"fold-{fold}" for fold in range(folds))


def depth_bits_of(described: Mapping[str, Any]) -> int | None:
    """Return how many bits the images deeper than 8 were scaled by, None where `dataset.json` speaks of none."""
    depth = described["depth"]
    return None if depth is None else int(depth["bits"])


def sides_of(described: Mapping[str, Any]) -> np.ndarray:
    """Return int `(n,)`, of each photograph in a split the side that became its square's, as `dataset.json` counts."""
    counts = described["sides"]
    return np.repeat(np.array(list(counts), dtype=int), list(counts.values()))


def open_dataset(folder: Path) -> Dataset:
    """Open what prepare wrote; pixels are read only when they are looked at.

    Raises:
        ArtifactError: prepare has not run, or its description is not of this form.
    """
    described = read_json(folder / DESCRIPTION, made_by=MADE_BY)
    missing = [key for key in ("sha256", "sides") if key not in described]
    if missing:
        raise ArtifactError(
            f"{folder / DESCRIPTION}: expected the key `{missing[0]}`, found none, as older versions wrote it; "
            f"run `dvc repro {MADE_BY}`"
        )
    arrays = (ALL,) if "folds" in described else SPLITS
    return Dataset(
        name=described["name"],
        classes=tuple(described["classes"]),
        digest=described["digest"],
        sha256=described["sha256"],
        image_size_pixels=described["image_size_pixels"],
        depth_bits=depth_bits_of(described),
        sides=sides_of(described),
        images={name: read_array(images_file(folder, name), made_by=MADE_BY) for name in arrays},
        labels={name: np.array(read_array(labels_file(folder, name), made_by=MADE_BY)) for name in arrays},
        folds=np.array(read_array(folder / FOLDS_FILE, made_by=MADE_BY)) if "folds" in described else None,
    )
