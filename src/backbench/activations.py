"""Run the frozen prefix once per image and view, and keep what comes out."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np

from backbench.artifacts import read_array, read_json

Progress = Callable[[int], None]
EVALUATION_BATCH_SIZE = 128


@dataclass(frozen=True, eq=False)
class Activations:
    """Activations at the freeze boundary, and labels, of one split; compared by identity.

    `values` has the shape `(num_views, num_examples, *boundary_shape)`; view 0 is the image itself.
    `labels` is int32 of shape `(num_examples,)`.
    """

    values: np.ndarray
    labels: np.ndarray

    @property
    def num_examples(self) -> int:
        return int(self.labels.shape[0])

    @property
    def num_views(self) -> int:
        return len(self.values)

    def take(self, views: np.ndarray, examples: np.ndarray) -> np.ndarray:
        return self.values[views, examples].astype("float32")


ActivationSource = Activations


def padded_batches(images: np.ndarray, batch_size: int) -> Iterator[tuple[int, np.ndarray]]:
    """Yield `(num_real, batch)`: every batch is full, the last one by repeating its last row.

    One batch shape means one traced program; the caller drops the repeated rows.
    """
    for start in range(0, len(images), batch_size):
        batch = np.asarray(images[start : start + batch_size])
        missing = batch_size - len(batch)
        if missing:
            batch = np.concatenate([batch, np.repeat(batch[-1:], missing, axis=0)])
        yield batch_size - missing, batch


UNLIMITED_VIEWS = 2**31 - 1


def kept_views(source: ActivationSource) -> range:
    """Number the views that are made once and kept; of views that are drawn anew each time, only the image itself."""
    return range(1 if source.num_views == UNLIMITED_VIEWS else source.num_views)


def in_order(source, *, view=0):
    for first in range(0, source.num_examples, EVALUATION_BATCH_SIZE):
        rows = np.minimum(np.arange(first, first + EVALUATION_BATCH_SIZE), source.num_examples - 1)
        yield min(EVALUATION_BATCH_SIZE, source.num_examples - first), source.take(np.full(len(rows), view), rows)


def outputs(model, values, prepare=None, *, view=0):
    prepared = prepare or (lambda batch: batch.astype("float32"))
    batches = (
        padded_batches(values, EVALUATION_BATCH_SIZE) if isinstance(values, np.ndarray) else in_order(values, view=view)
    )
    return np.concatenate([model.predict_on_batch(prepared(batch))[:num_real] for num_real, batch in batches])


def run_prefix(
    prefix: keras.Model | None,
    images: np.ndarray,
    prepare_batch: Callable[[np.ndarray, int], np.ndarray],
    out: np.ndarray,
    *,
    batch_size: int,
    progress: Progress,
) -> None:
    """Fill `out` with the activations of every image, in the order of the images.

    Args:
        prefix: Maps prepared images to activations; None keeps the prepared images.
        images: uint8 `(num_examples, size, size, 3)`, RGB.
        prepare_batch: Maps uint8 images and the position of the first to what the prefix takes, float32.
        out: `(num_examples, *boundary_shape)`, float16 or float32, written in place.
        batch_size: Images per step.
        progress: Told the number of images done by each batch.
    """
    done = 0
    for num_real, batch in padded_batches(images, batch_size):
        values = prepare_batch(batch, done)
        if prefix is not None:
            values = prefix.predict_on_batch(values)
        out[done : done + num_real] = values[:num_real]
        done += num_real
        progress(num_real)


@contextmanager
def activation_file(path: Path, shape: tuple[int, ...], dtype: str) -> Iterator[np.ndarray]:
    """Yield a writable memory-mapped array that is a `.npy` file at `path`."""
    array = np.lib.format.open_memmap(path, mode="w+", dtype=np.dtype(dtype), shape=shape)
    yield array
    array.flush()


def read_activations(folder: Path, split: str, labels: np.ndarray) -> Activations:
    """Open the activations of one split, memory-mapped.

    Raises:
        ArtifactError: the embed stage has not run.
    """
    return Activations(read_array(folder / f"{split}.npy", made_by="embed"), labels)


def read_boundary(folder: Path) -> dict[str, object]:
    """Read what the embed stage says of its activations: boundary, views, digests, parameters of the prefix."""
    return read_json(folder / "boundary.json", made_by="embed")
