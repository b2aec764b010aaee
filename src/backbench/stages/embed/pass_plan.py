"""What one pass over a backbone is to leave: what every strategy stores of it, and in which ranges the images pass."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydantic import TypeAdapter

from backbench.data.arrays.dataset import ALL, SPLITS
from backbench.results.compute import NOTHING, Compute

# The largest one is taken that computes at most this share of rows only to fill the last batches.
BATCH_SIZES = (128, 64, 32)
MOST_FILLING = 0.05
# What a killed process may lose, and what one task is; a range is as many batches as this, or the rest of its view.
RANGE_BATCHES = 8
# `(num_views, num_examples)` of splits.
Rows = Mapping[str, tuple[int, int]]


@dataclass(frozen=True)
class StorePlan:
    """What one strategy stores.

    `shapes` is the shape of one example at each boundary; a split that is not in `rows` is not stored.
    """

    shapes: Mapping[str, tuple[int, ...]]
    rows: Rows
    dtype: str

    @property
    def num_rows(self) -> int:
        return sum(math.prod(rows) for rows in self.rows.values())

    def num_bytes(self, *boundaries: str) -> int:
        """Return the size of all files of some boundaries, headers aside."""
        values = sum(math.prod(self.shapes[boundary]) for boundary in boundaries)
        return self.num_rows * values * np.dtype(self.dtype).itemsize

    def within(self, limit_bytes: float) -> "StorePlan":
        """Return the plan without the boundaries that are over the limit, which goes to the smallest ones first."""
        kept: list[str] = []
        for boundary in sorted(self.shapes, key=self.num_bytes):
            if self.num_bytes(*kept, boundary) <= limit_bytes:
                kept.append(boundary)
        return StorePlan({name: shape for name, shape in self.shapes.items() if name in kept}, self.rows, self.dtype)


@dataclass(frozen=True)
class Place:
    """A freeze boundary in a backbone's graph: the shape of one example there, and the parameters on either side."""

    shape: tuple[int, ...]
    num_prefix_parameters: int
    num_suffix_parameters: int


@dataclass(frozen=True)
class Description:
    """What the graph of a backbone says of itself.

    `weights_digest` and `weights_file` are those of `StoreRecord`. `layers` has, by strategy, the layer that each
    boundary means, as the configuration spells it; `places` what is known of each layer.
    """

    weights_digest: str
    weights_file: str | None
    layers: Mapping[str, Mapping[str, str]]
    places: Mapping[str, Place]
    compute: Compute


@dataclass(frozen=True)
class Range:
    """The examples of a split from `first` to before `last`, in one view."""

    split: str
    view: int
    first: int
    last: int

    def __str__(self) -> str:
        return f"{self.split}-{self.view}-{self.first}"


@dataclass(frozen=True)
class Part:
    """What ranges of images left beside their rows; parts add up.

    `rounding` has, for each `<strategy>/<boundary>`, the largest difference that rounding made, and the largest
    absolute activation.
    """

    num_rows: int
    rounding: Mapping[str, tuple[float, float]]
    compute: Compute

    def __add__(self, other: "Part") -> "Part":
        rounding = dict(self.rounding)
        for name, (difference, largest) in other.rounding.items():
            before = rounding.get(name, (0.0, 0.0))
            rounding[name] = (max(before[0], difference), max(before[1], largest))
        return Part(self.num_rows + other.num_rows, rounding, self.compute + other.compute)


PART = "part.json"
NO_PART = Part(0, {}, NOTHING)
# Reads what `asdict` and JSON spelt.
part_of = TypeAdapter(Part).validate_python


@dataclass(frozen=True)
class PassPlan:
    """What a pass over all images stores, by strategy, and the folder in which it is made.

    A view of an example passes once, whichever strategies want it. `words` spells each layer as a configuration does:
    Keras numbers nameless layers by how many a process has built, so in another process they are called otherwise.
    """

    state: Path
    stores: Mapping[str, StorePlan]
    words: Mapping[str, str]

    @property
    def rows(self) -> dict[str, tuple[int, int]]:
        """`(num_views, num_examples)` of each split that passes: the views of the strategy that stores most."""
        return most_rows(store.rows for store in self.stores.values() if store.shapes)

    @property
    def batch_size(self) -> int:
        return batch_size_for(self.rows)

    def stores_of(self, images: Range) -> dict[str, StorePlan]:
        """Return what is stored of a range, by strategy."""
        return {
            strategy: store
            for strategy, store in self.stores.items()
            if store.shapes and images.view < store.rows.get(images.split, (0, 0))[0]
        }

    def part(self, images: Range) -> Path:
        """Return the folder of a range's rows: `<strategy>/<boundary>.npy`, and `part.json`; whole or not there."""
        return self.state / "parts" / str(images)


def most_rows(of_stores: Iterable[Rows]) -> dict[str, tuple[int, int]]:
    """Return of each split as many views as any store has."""
    stores = list(of_stores)
    found = {split: [rows[split] for rows in stores if split in rows] for split in (*SPLITS, ALL)}
    return {split: max(rows) for split, rows in found.items() if rows}


def ranges_of(rows: Rows) -> list[Range]:
    """Divide all that passes into ranges, in the order of the rows of the files."""
    length = RANGE_BATCHES * batch_size_for(rows)
    return [
        Range(split, view, first, min(first + length, num_examples))
        for split, (num_views, num_examples) in rows.items()
        for view in range(num_views)
        for first in range(0, num_examples, length)
    ]


def batch_size_for(rows: Rows) -> int:
    """Return how many images pass at once; every batch of a pass is as large, so that one program is traced."""
    num_rows = sum(map(math.prod, rows.values()))
    for batch_size in BATCH_SIZES[:-1]:
        num_filling = sum(num_views * (-num_examples % batch_size) for num_views, num_examples in rows.values())
        if num_filling <= MOST_FILLING * num_rows:
            return batch_size
    return BATCH_SIZES[-1]
