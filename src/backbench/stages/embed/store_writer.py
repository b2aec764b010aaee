"""The files of all strategies: parts are appended in the order of their rows, in whichever order they come."""

import math
import shutil
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path

import numpy as np

from backbench.data.arrays.array_file import GrowingArrayFile
from backbench.data.arrays.file_formats import write_json
from backbench.results.compute import Compute, Stopwatch
from backbench.results.store_record import DESCRIPTION, StoreRecord
from backbench.runtime.atomic_files import put_folder_in_place
from backbench.runtime.digests import file_sha256
from backbench.runtime.errors import ActivationError
from backbench.runtime.known_files import known_json
from backbench.stages.embed.pass_plan import NO_PART, Part, PassPlan, Range, part_of, ranges_of

# What float16 rounds to infinity: half a step above its largest number.
TOO_LARGE = 65520.0


class StoreWriter:
    """Appends parts to `<strategy>/<boundary>/<split>.npy`, and goes on where a killed process stopped.

    A note says how many ranges the disk holds, and what they left beside their rows; what was written after it is cut
    off. A part goes when the note has it.
    """

    def __init__(self, plan: PassPlan) -> None:
        """Open or begin the files in the state folder of a plan, which is named by all that decides their content."""
        self._plan, self._ranges = plan, ranges_of(plan.rows)
        self._store, self._note = plan.state / "store", plan.state / "progress.json"
        self._files = {
            (strategy, boundary, split): GrowingArrayFile(
                self._store / strategy / boundary / f"{split}.npy", (*rows, *shape), store.dtype, num_row_axes=2
            )
            for strategy, store in plan.stores.items()
            for boundary, shape in store.shapes.items()
            for split, rows in store.rows.items()
        }
        self._waiting: dict[str, Part] = {}
        for strategy in plan.stores:
            (self._store / strategy).mkdir(parents=True, exist_ok=True)
        self._num_done, self._written = self._resumed()

    @property
    def missing(self) -> list[Range]:
        """The ranges that are not in the files."""
        return self._ranges[self._num_done :]

    @property
    def num_rows(self) -> int:
        """How many views of images are in the files."""
        return self._written.num_rows

    @property
    def compute(self) -> Compute:
        """What the rows in the files took, whichever processes made them."""
        return self._written.compute

    def add(self, name: str, part: Part) -> None:
        """Take the part of a range, in any order, and append all those whose turn has come.

        Raises:
            ActivationError: a value is not finite, or not in float16's range.
        """
        self._check(part)
        self._waiting[name] = part
        while self.missing and str(self.missing[0]) in self._waiting:
            self._append(self.missing[0], self._waiting.pop(str(self.missing[0])))

    def float16_error(self, strategy: str, boundary: str) -> float:
        """Return the largest rounding error of a boundary so far, as a share of its largest absolute activation."""
        difference, largest = self._written.rounding.get(f"{strategy}/{boundary}", (0.0, 0.0))
        return difference / largest if largest else 0.0

    def digests(self, strategy: str) -> dict[str, str]:
        """Return the SHA-256 of every file of a strategy, by its path below the strategy's folder."""
        folder = self._store / strategy
        return {path.relative_to(folder).as_posix(): file_sha256(path) for path in sorted(folder.rglob("*.npy"))}

    def describe(self, strategy: str, record: StoreRecord) -> None:
        """Write down what is said of a strategy's files."""
        write_json(self._store / strategy / DESCRIPTION, asdict(record))

    def finish(self, target: Path) -> None:
        """Move the files of all strategies to where the next stages look for them."""
        put_folder_in_place(self._store, target)

    def _check(self, part: Part) -> None:
        for name, (_, largest) in part.rounding.items():
            strategy, _, boundary = name.partition("/")
            if not math.isfinite(largest):
                raise ActivationError(f"{boundary}: expected finite activations, found {largest}; use other weights")
            if self._plan.stores[strategy].dtype == "float16" and largest >= TOO_LARGE:
                raise ActivationError(
                    f"{boundary}: expected activations in float16's range of ±{np.finfo('float16').max:g}, "
                    f"found one of size {largest:g}; set activation_dtype: float32 in the strategy's file"
                )

    def _append(self, images: Range, part: Part) -> None:
        stopwatch, folder = Stopwatch(), self._plan.part(images)
        for strategy, store in self._plan.stores_of(images).items():
            for boundary in store.shapes:
                file = self._files[strategy, boundary, images.split]
                file.append_file(folder / strategy / f"{boundary}.npy")
                file.sync()
        self._num_done += 1
        self._written += part + Part(0, {}, stopwatch.lap())
        # The disk holds the rows: the note may be behind them, never ahead.
        write_json(self._note, {"num_ranges": self._num_done, "written": asdict(self._written)})
        shutil.rmtree(folder)

    def _resumed(self) -> tuple[int, Part]:
        note = known_json(self._note)
        if note:
            done = self._ranges[: note["num_ranges"]]
            if all(file.keep(self._num_rows_of(key, done)) for key, file in self._files.items()):
                return len(done), part_of(note["written"])
        for file in self._files.values():
            file.keep(0)
        return 0, NO_PART

    def _num_rows_of(self, key: tuple[str, str, str], done: Iterable[Range]) -> int:
        strategy, _, split = key
        return sum(
            images.last - images.first
            for images in done
            if images.split == split and strategy in self._plan.stores_of(images)
        )
