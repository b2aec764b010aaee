"""Draw the source task once, into memory-mapped files that every backbone of the same input size shares."""

import multiprocessing
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from backbench.data.arrays.file_formats import write_array
from backbench.results.records import fingerprint
from backbench.runtime.atomic_files import replacing
from backbench.runtime.installation import deciding_versions
from backbench.runtime.source_code import code_fingerprint, imported_modules
from pretraining.formula import mixture

PRETRAINING = Path(__file__).parents[1]
CHUNK = 500


@dataclass(frozen=True)
class SourceImages:
    """`images` is `(n, size, size, 3)` uint8 RGB, memory-mapped; `labels` is `(n,)` int32."""

    images: np.ndarray
    labels: np.ndarray


def source_digest() -> str:
    """Digest the modules that draw and the versions of what they draw with: no cache of other drawings is used."""
    return fingerprint(code_fingerprint(*imported_modules(Path(mixture.__file__), PRETRAINING)), deciding_versions())


def _drawn(job: tuple[int, range, int]) -> tuple[range, np.ndarray, np.ndarray]:
    seed, indices, size = job
    images, labels = mixture.draw(seed, indices, size)
    return indices, images, labels


def _chunks(seed: int, count: int, size: int, processes: int) -> Iterator[tuple[range, np.ndarray, np.ndarray]]:
    jobs = [(seed, range(start, min(start + CHUNK, count)), size) for start in range(0, count, CHUNK)]
    if processes == 1:
        yield from map(_drawn, jobs)
        return
    with multiprocessing.get_context("spawn").Pool(processes) as pool:
        yield from pool.imap_unordered(_drawn, jobs)


def source_images(folder: Path, *, seed: int, count: int, size: int, processes: int = 2) -> SourceImages:
    """Open the first `count` images of a seed, drawing them where they are not in `folder` yet.

    A half-drawn cache never takes the name of a whole one.
    """
    name = f"seed{seed}-{count}x{size}px-{source_digest()}"
    images_path, labels_path = folder / f"{name}-images.npy", folder / f"{name}-labels.npy"
    if not (images_path.is_file() and labels_path.is_file()):
        labels = np.empty(count, np.int32)
        with replacing(images_path) as temporary:
            images = np.lib.format.open_memmap(temporary, mode="w+", dtype=np.uint8, shape=(count, size, size, 3))
            done = 0
            for indices, chunk, chunk_labels in _chunks(seed, count, size, processes):
                images[indices.start : indices.stop] = chunk
                labels[indices.start : indices.stop] = chunk_labels
                done += len(indices)
                if done == count or done % (10 * CHUNK) == 0:
                    print(f"source images {size} px: {done} of {count} drawn", flush=True)
            images.flush()
            write_array(labels_path, labels)
    return SourceImages(np.load(images_path, mmap_mode="r"), np.load(labels_path))
