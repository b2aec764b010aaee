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
MADE_BY = "prepare"
DESCRIPTION = "dataset.json"
MANIFEST = "manifest.csv"
NEAR_COPY_OF = "near_copy_of"  # a column of the manifest, where there are near copies alone


@dataclass(frozen=True)
class Dataset:
    """Images and labels by split.

    `images[split]` is uint8 RGB `(n, S, S, 3)`, memory-mapped and read-only; `labels[split]` is int32 `(n,)` and
    counts into `classes`. `digest` is the SHA-256 of the source images' paths and bytes, `sha256` that of every file of
    arrays by its name: what decides a result, whatever it was made of. `depth_bits` is how many bits its images deeper
    than 8 were scaled by, None where it has none. `sides` is int `(n,)`, the side of each photograph in a split that
    became the side of its square.
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

    def decided(self, config: DatasetConfig) -> DatasetConfig:
        """Return the configuration with what it leaves to the images, as prepare found it."""
        return replace(config, image_size_pixels=self.image_size_pixels, depth_bits=self.depth_bits)


def images_file(folder: Path, split: str) -> Path:
    """Name the file of a split's pixels."""
    return folder / f"images-{split}.npy"


def labels_file(folder: Path, split: str) -> Path:
    """Name the file of a split's labels."""
    return folder / f"labels-{split}.npy"


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
    return Dataset(
        name=described["name"],
        classes=tuple(described["classes"]),
        digest=described["digest"],
        sha256=described["sha256"],
        image_size_pixels=described["image_size_pixels"],
        depth_bits=depth_bits_of(described),
        sides=sides_of(described),
        images={split: read_array(images_file(folder, split), made_by=MADE_BY) for split in SPLITS},
        labels={split: np.array(read_array(labels_file(folder, split), made_by=MADE_BY)) for split in SPLITS},
    )
