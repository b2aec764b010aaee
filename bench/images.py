"""The images that every arm reads: shipped ones, prepared by this project, scaled for the backbone."""

import contextlib
import shutil
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from backbench.data.arrays.dataset import DESCRIPTION, open_dataset
from backbench.runtime import paths
from backbench.stages.prepare import prepare
from bench.studies import Study

ASSETS = Path(__file__).parents[1] / "assets"
NUM_TEST_PER_CLASS = 1


@dataclass(frozen=True, eq=False)
class Images:
    """Training and validation images in memory, float32 as the backbone takes them, and int32 labels."""

    train: np.ndarray
    train_labels: np.ndarray
    val: np.ndarray
    val_labels: np.ndarray

    @property
    def both(self) -> np.ndarray:
        return np.concatenate([self.train, self.val])


def prepare_images(study: Study, folder: Path) -> None:
    """Write `work/dataset` in the study's folder, unless it is there."""
    if (folder / paths.DATASET / DESCRIPTION).is_file():
        return
    dataset = study.config.dataset
    assert dataset.train_per_class is not None
    assert dataset.val_per_class is not None
    _choose(
        ASSETS / dataset.name,
        folder / dataset.path,
        dataset.train_per_class + dataset.val_per_class + NUM_TEST_PER_CLASS,
    )
    with contextlib.chdir(folder):
        prepare(dataset)


def _choose(source: Path, folder: Path, num_per_class: int) -> None:
    """Copy so many shipped images of every class, by name, into one folder per class."""
    shutil.rmtree(folder, ignore_errors=True)
    by_class: dict[str, list[Path]] = defaultdict(list)
    for file in sorted(source.glob("*/*/*.png"), key=lambda file: file.name):
        by_class[file.parent.name].append(file)
    for label, files in by_class.items():
        (folder / label).mkdir(parents=True)
        for file in files[:num_per_class]:
            shutil.copyfile(file, folder / label / file.name)


def load_images(study: Study, folder: Path) -> Images:
    """Read the prepared images and scale them once."""
    # Imported here: the driver prepares images, and needs no network for it.
    from backbench.backbones.graph import preprocess

    dataset = open_dataset(folder / paths.DATASET)
    train, val = (
        np.asarray(preprocess(study.config.backbone, np.asarray(dataset.images[split])), dtype="float32")
        for split in ("train", "val")
    )
    return Images(train, dataset.labels["train"], val, dataset.labels["val"])
