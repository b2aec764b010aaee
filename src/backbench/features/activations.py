"""What training reads: activations at the freeze boundary, held in memory or computed from images when asked for.

`activation_store` has the third kind, read from the files that the embed stage writes.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol
from weakref import WeakKeyDictionary

import keras
import numpy as np

from backbench.backbones.graph import preprocess
from backbench.config.backbone_config import BackboneConfig
from backbench.config.dataset_config import AugmentationConfig
from backbench.data.arrays.array_file import ArrayFile
from backbench.data.arrays.augment import augmented, resized
from backbench.runtime.out_of_memory import halved

EVALUATION_BATCH_SIZE = 128
# So many that a view is never seen twice: a view drawn at random is a new one.
UNLIMITED_VIEWS = 2**31 - 1
# Features are pooled ahead from so many views where they are unlimited.
NUM_POOLED_VIEWS = 8

# How many images fit at once into each model that ran out of memory, so that it is not tried again with every batch.
_most_at_once: WeakKeyDictionary[keras.Model, int] = WeakKeyDictionary()


class ActivationSource(Protocol):
    """Activations and labels of one split, by view and example; view 0 is the image itself.

    Two sources of the same images have the same views, whatever batches are asked for.
    """

    @property
    def labels(self) -> np.ndarray:
        """int32 `(num_examples,)`."""
        ...

    @property
    def num_views(self) -> int: ...

    def take(self, views: np.ndarray, examples: np.ndarray) -> np.ndarray:
        """Return float32 `(b, *boundary_shape)` of int views `(b,)` and int examples `(b,)`."""
        ...


@dataclass(frozen=True, eq=False)
class Activations:
    """Activations in memory, `(num_views, num_examples, *boundary_shape)`; compared by identity."""

    values: np.ndarray
    labels: np.ndarray

    @property
    def num_views(self) -> int:
        return len(self.values)

    def take(self, views: np.ndarray, examples: np.ndarray) -> np.ndarray:
        return np.asarray(self.values[views, examples], dtype="float32")


@dataclass(frozen=True, eq=False)
class PreparedImages:
    """Views of a split's images, as its backbone takes them.

    `images` gives uint8 RGB `(n, S, S, 3)`; `seed` draws the views.
    """

    images: np.ndarray | ArrayFile
    backbone: BackboneConfig
    augmentation: AugmentationConfig
    seed: int

    def take(self, views: np.ndarray, examples: np.ndarray) -> np.ndarray:
        """Return float32 `(b, size, size, 3)` of int views `(b,)` and int examples `(b,)`."""
        seen = augmented(self.images[examples], self.augmentation, seed=self.seed, views=views, indices=examples)
        scaled = preprocess(self.backbone, resized(seen, self.backbone.input_size_pixels))
        return np.asarray(scaled, dtype="float32")


@dataclass(frozen=True, eq=False)
class ComputedActivations:
    """Activations that are computed anew whenever they are asked for; compared by identity.

    Where the same ones were stored, they differ from these by the rounding of the stored type, and by the order of
    sums in batches of another size. `prefix` None is the boundary at the input.
    """

    images: PreparedImages
    labels: np.ndarray
    prefix: keras.Model | None
    num_views: int

    def take(self, views: np.ndarray, examples: np.ndarray) -> np.ndarray:
        prepared = self.images.take(views, examples)
        return prepared if self.prefix is None else predicted(self.prefix, prepared)


@dataclass(frozen=True, eq=False)
class ChosenExamples:
    """Some examples of a source as a split of their own, in the order of `rows`, int `(n,)`; compared by identity."""

    source: ActivationSource
    rows: np.ndarray
    num_views: int

    @cached_property
    def labels(self) -> np.ndarray:
        return np.asarray(self.source.labels[self.rows])

    def take(self, views: np.ndarray, examples: np.ndarray) -> np.ndarray:
        return self.source.take(views, self.rows[examples])


def predicted(model: keras.Model, batch: np.ndarray) -> Any:
    """Return float32 outputs for a batch, in the model's structure of them: whatever predicts asks here.

    Where memory runs out, half as many images pass at once, for this batch and all later ones of the model. Only the
    order of sums may differ.

    Raises:
        MemoryLimitError: not even one image fits.
    """
    while True:
        most = min(_most_at_once.get(model, len(batch)), len(batch))
        try:
            made = [model.predict_on_batch(batch[first : first + most]) for first in range(0, len(batch), most)]
            return keras.tree.map_structure(lambda *parts: np.concatenate(parts, dtype="float32"), *made)
        except Exception as error:
            _most_at_once[model] = halved(most, error)


def padded_indices(start: int, stop: int, batch_size: int) -> Iterator[tuple[int, np.ndarray]]:
    """Yield `(num_real, indices)`: every batch is full, the last one by repeating its last index.

    One batch shape means one traced program; the caller drops the repeated rows.
    """
    for first in range(start, stop, batch_size):
        yield min(batch_size, stop - first), np.minimum(np.arange(first, first + batch_size), stop - 1)


def even_indices(num_examples: int) -> Iterator[tuple[int, np.ndarray]]:
    """Yield `(num_real, indices)` of the fewest batches of at most `EVALUATION_BATCH_SIZE`, as even as they can be.

    So next to nothing is computed only to fill the last one.
    """
    num_batches = -(-num_examples // EVALUATION_BATCH_SIZE)
    return padded_indices(0, num_examples, -(-num_examples // max(1, num_batches)))


def kept_views(source: ActivationSource) -> range:
    """List the views that are made once and kept; the first few where each view is seen once only."""
    return range(NUM_POOLED_VIEWS if source.num_views == UNLIMITED_VIEWS else source.num_views)


def in_order(source: ActivationSource, *, view: int = 0) -> Iterator[tuple[int, np.ndarray]]:
    """Yield `(num_real, activations)` of one view of every example; batches are full as `padded_indices` has them."""
    for num_real, examples in even_indices(len(source.labels)):
        yield num_real, source.take(np.full(len(examples), view), examples)


def outputs(
    model: keras.Model,
    values: np.ndarray | ActivationSource,
    prepare: Callable[[np.ndarray], np.ndarray] | None = None,
    *,
    view: int = 0,
    into: np.ndarray | None = None,
) -> np.ndarray:
    """Return the model's outputs for every example, in order: `(num_examples, *output_shape)` float32.

    They are held once: batches are written into the array that is returned.

    Args:
        model: Run in inference mode.
        values: `(num_examples, *shape)`, or a source, of which one view is read batch by batch.
        prepare: Maps a batch of values to what the model takes; None casts to float32.
        view: Which view of a source.
        into: Takes the outputs; None makes an array.
    """
    prepared = prepare or (lambda batch: batch.astype("float32", copy=False))
    num_examples = len(values if isinstance(values, np.ndarray) else values.labels)
    if isinstance(values, np.ndarray):
        rows = even_indices(num_examples)
        batches: Iterator[tuple[int, np.ndarray]] = ((num_real, values[indices]) for num_real, indices in rows)
    else:
        batches = in_order(values, view=view)
    start = 0
    for num_real, batch in batches:
        made = predicted(model, prepared(batch))[:num_real]
        into = np.empty((num_examples, *made.shape[1:]), made.dtype) if into is None else into
        into[start : start + num_real] = made
        start += num_real
    if into is None:
        raise ValueError("expected at least one example, found none")
    return into
