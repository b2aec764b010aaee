"""The arrays of a prepared data set: pixels and labels of each split, or of all folds at once with each one's fold."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np

from backbench.data.arrays.dataset import ALL, FOLDS_FILE, images_file, labels_file
from backbench.data.arrays.file_formats import write_array
from backbench.data.ingest.tree import Examined
from backbench.runtime.digests import file_sha256


@dataclass(frozen=True)
class StoredArrays:
    """Where each image lies, by its path, and the SHA-256 of every file by its name."""

    positions: dict[str, int]
    sha256: dict[str, str]


def write_arrays(
    members: Mapping[str, Sequence[Examined]],
    classes: Sequence[str],
    pool: np.ndarray,
    rows: Mapping[str, int],
    folder: Path,
    *,
    are_folds: bool,
) -> StoredArrays:
    """Write pixels and labels, streamed so that memory stays flat.

    Args:
        members: The images of each split, or of each fold, in the order of their paths.
        classes: Labels count into them.
        pool: uint8 `(n, S, S, 3)`, memory-mapped.
        rows: Which of its rows an image is, by its path.
        folder: Takes the files.
        are_folds: All images go to one array, in the order of their paths.
    """
    fold_of = {file.path: fold for fold, files in enumerate(members.values()) for file in files}
    every = sorted(chain.from_iterable(members.values()), key=lambda file: file.path)
    arrays = {ALL: every} if are_folds else members
    written = []
    for name, files in arrays.items():
        shape = (len(files), *pool.shape[1:])
        images = np.lib.format.open_memmap(images_file(folder, name), mode="w+", dtype=np.uint8, shape=shape)
        for position, file in enumerate(files):
            images[position] = pool[rows[file.path]]
        images.flush()
        labels = np.array([classes.index(file.label) for file in files], dtype=np.int32)
        write_array(labels_file(folder, name), labels)
        written += [images_file(folder, name), labels_file(folder, name)]
    if are_folds:
        written.append(folder / FOLDS_FILE)
        write_array(written[-1], np.array([fold_of[file.path] for file in every], dtype=np.int32))
    positions = {file.path: position for files in arrays.values() for position, file in enumerate(files)}
    return StoredArrays(positions, {file.name: file_sha256(file) for file in written})
