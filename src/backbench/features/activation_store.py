"""The activations of one cell on the disk: how large they will be, how they are written, how they are read again.

`<cell>/<boundary>/<split>.npy` is `(num_views, num_examples, *boundary_shape)`, and `<cell>/boundary.json` says what
there is.
"""

import math
import shutil
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from backbench.config.config import CellConfig
from backbench.data.arrays.array_file import ArrayFile, GrowingArrayFile
from backbench.data.arrays.dataset import images_file
from backbench.data.arrays.file_formats import write_json
from backbench.features.activations import PreparedImages
from backbench.results.compute import NOTHING, Compute, Stopwatch, compute_of
from backbench.results.records import fingerprint
from backbench.results.store_record import DESCRIPTION, StoreRecord
from backbench.runtime import paths
from backbench.runtime.atomic_files import put_folder_in_place, remove_others
from backbench.runtime.digests import file_sha256
from backbench.runtime.errors import ActivationError, ArtifactError
from backbench.runtime.known_files import known_json

GIGABYTE = 10**9
FREE_BYTES = GIGABYTE
# What DVC stores of an output is a copy of it, unless the file system or the user's cache type can share blocks.
COPIES_ON_DISK = 2
# How much work a killed process may lose, so that the disk is not waited for after every batch.
NOTE_SECONDS = 2.0


@dataclass(frozen=True)
class StorePlan:
    """What is to be stored.

    `shapes` is the shape of one example at each boundary. `rows` is `(num_views, num_examples)` of each split.
    """

    shapes: Mapping[str, tuple[int, ...]]
    rows: Mapping[str, tuple[int, int]]
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


def disk_room_bytes(state: Path) -> int:
    """Return how large a store may be: what is free, and what an earlier process left in `state`, less a gigabyte.

    DVC's own copy has to fit too.
    """
    state.mkdir(parents=True, exist_ok=True)
    left = sum(file.stat().st_size for file in state.rglob("*") if file.is_file())
    return max(0, shutil.disk_usage(state).free + left - FREE_BYTES) // COPIES_ON_DISK


class StoreWriter:
    """Appends to the files of all boundaries, batch by batch, and goes on where a killed process stopped.

    Every batch is known by the rows of its split before it; what was written after the last whole batch is cut off.
    `compute_before` is what the rows took that earlier processes wrote.
    """

    def __init__(self, folder: Path, plan: StorePlan) -> None:
        """Open or begin the files in `folder`, which is named by all that decides their content."""
        self._store, self._progress_file, self._dtype = folder / "store", folder / "progress.json", plan.dtype
        self._files = {
            (boundary, split): GrowingArrayFile(
                self._store / boundary / f"{split}.npy", (*rows, *shape), plan.dtype, num_row_axes=2
            )
            for boundary, shape in plan.shapes.items()
            for split, rows in plan.rows.items()
        }
        self._progress: dict[str, dict[str, Any]] = {
            "rows": dict.fromkeys(plan.rows, 0),
            "difference": dict.fromkeys(plan.shapes, 0.0),
            "largest": dict.fromkeys(plan.shapes, 0.0),
            "compute": asdict(NOTHING),
        }
        self._stopwatch = Stopwatch()
        self._store.mkdir(parents=True, exist_ok=True)
        self._noted = -math.inf
        self._resume()
        self.compute_before = self._compute()

    def num_rows(self, split: str) -> int:
        """Return how many rows of a split are written."""
        return int(self._progress["rows"][split])

    def append(self, split: str, values: Mapping[str, np.ndarray]) -> None:
        """Write the next rows of a split, float32 `(b, *boundary_shape)` of every boundary of the plan.

        Raises:
            ActivationError: a value is not finite, or not in float16's range.
        """
        num_rows = 0
        for boundary, rows in values.items():
            self._files[boundary, split].append(self._rounded(boundary, rows))
            num_rows = len(rows)
        self._progress["rows"][split] += num_rows
        if time.monotonic() - self._noted >= NOTE_SECONDS:
            self._note()

    def float16_error(self, boundary: str) -> float:
        """Return the largest rounding error of a boundary so far, as a share of its largest absolute activation."""
        largest = self._progress["largest"].get(boundary, 0.0)
        return float(self._progress["difference"][boundary] / largest) if largest else 0.0

    def digests(self) -> dict[str, str]:
        """Return the SHA-256 of every file, by its path in the store."""
        files = sorted(self._store.rglob("*.npy"))
        return {file.relative_to(self._store).as_posix(): file_sha256(file) for file in files}

    def finish(self, record: StoreRecord, target: Path) -> None:
        """Move the files to where the next stages look for them."""
        write_json(self._store / DESCRIPTION, asdict(record))
        put_folder_in_place(self._store, target)

    def _compute(self) -> Compute:
        return compute_of(self._progress["compute"])

    def _note(self) -> None:
        """Say how far the files are, once the disk holds them: the note may be behind them, never ahead."""
        for file in self._files.values():
            file.sync()
        self._progress["compute"] = asdict(self._compute() + self._stopwatch.lap())
        write_json(self._progress_file, self._progress)
        self._noted = time.monotonic()

    def _resume(self) -> None:
        kept = known_json(self._progress_file)
        if kept:
            found = [file.keep(kept["rows"][split]) for (_, split), file in self._files.items()]
            if all(found):
                self._progress = kept
                return
        for file in self._files.values():
            file.keep(0)

    def _rounded(self, boundary: str, values: np.ndarray) -> np.ndarray:
        with np.errstate(over="ignore"):
            rounded = values.astype(self._dtype)
        largest = float(np.abs(values).max())
        if not math.isfinite(largest):
            raise ActivationError(f"{boundary}: expected finite activations, found {largest}; use other weights")
        if not np.isfinite(rounded).all():
            raise ActivationError(
                f"{boundary}: expected activations in float16's range of ±{np.finfo('float16').max:g}, "
                f"found one of size {largest:g}; set activation_dtype: float32 in the strategy's file"
            )
        difference = float(np.abs(rounded.astype("float32") - values).max())
        for key, value in (("difference", difference), ("largest", largest)):
            self._progress[key][boundary] = max(self._progress[key][boundary], value)
        return rounded


def state_for(state: Path, *parts: Any) -> Path:
    """Return the folder in `state` that is named by all that decides a store; what others left there is removed."""
    name = fingerprint(*parts)
    remove_others(state, [name])
    return state / name


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
