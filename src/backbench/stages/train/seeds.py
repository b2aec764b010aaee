"""What the train stage keeps of the seeds that it finished, outside DVC's outs: for the next run, killed or longer."""

import shutil
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import TypeAdapter

from backbench.config.strategy_config import OUTPUT
from backbench.data.arrays.file_formats import read_array, read_json, write_array, write_json
from backbench.results.cell_inputs import CellInputs
from backbench.results.compute import Compute, Stopwatch, add_left, compute_of, left_before
from backbench.results.records import Choice, SeedRecord, fingerprint
from backbench.runtime import paths
from backbench.runtime.atomic_files import remove_others, replacing
from backbench.runtime.digests import file_sha256
from backbench.runtime.known_files import known_json

RECORD, WEIGHTS = ".json", ".weights.h5"
PREDICTED_SPLITS = ("val", "test")


def seed_groups(choice: Choice, seeds: Sequence[int]) -> list[tuple[int, ...]]:
    """Split the seeds into those that train at once: heads all together, suffixes each alone.

    A group is trained whole or not at all, for its sums depend on how many train together.
    """
    return [tuple(seeds)] if choice.boundary == OUTPUT else [(seed,) for seed in seeds]


def finished_seeds(
    inputs: CellInputs, choice: Choice, seeds: Sequence[int], fold: int | None = None
) -> "FinishedSeeds":
    """Open what is kept of a cell's seeds, or of those of a fold.

    Each is named by all that decides it: the fit, and who trains with it.
    """
    fits = inputs.fits_name("train/final_models", fold)
    names = {
        seed: fingerprint(fits, choice.boundary, choice.learning_rate, choice.weight_decay, group)
        for group in seed_groups(choice, seeds)
        for seed in group
    }
    return FinishedSeeds(paths.STATE / "train" / str(inputs.cell), names)


def forget_others(finished: Collection["FinishedSeeds"]) -> None:
    """Remove what other choices, seeds or code left of a cell."""
    (root,) = {each.root for each in finished}
    remove_others(root, [name for each in finished for name in each.names.values()])


class FinishedSeeds:
    """A few files per finished seed; the record is written last and holds the digests of the others."""

    def __init__(self, root: Path, names: Mapping[int, str]) -> None:
        """Open what is kept in `root`; `names` has each seed's folder in it, named by all that decides its model."""
        self.root, self.names = root, names

    def is_done(self, seed: int) -> bool:
        """Say whether a seed's files are there, with the bytes that were written."""
        digests = known_json(self._file(seed, RECORD)).get("sha256", {})
        files = [self.root / self.names[seed] / name for name in digests]
        return bool(files) and all(file.is_file() and file_sha256(file) == digests[file.name] for file in files)

    def keep(
        self,
        record: SeedRecord,
        probabilities: Mapping[str, np.ndarray],
        save_weights: Callable[[Path], None],
        stopwatch: Stopwatch,
    ) -> None:
        """Keep a finished seed: float32 probabilities `(num_images, num_classes)` by split, weights, and record.

        With them, what it took: a lap of the stopwatch. Of seeds that train at once, the first has the fit.
        """
        weights = self._file(record.seed, WEIGHTS)
        with replacing(weights) as temporary:
            save_weights(temporary)
        files = [weights]
        for split, values in probabilities.items():
            files.append(self._file(record.seed, f"-{split}.npy"))
            write_array(files[-1], values)
        digests = {file.name: file_sha256(file) for file in files}
        took = left_before(self._left(record.seed)) + stopwatch.lap()
        content = {"record": asdict(record), "sha256": digests, "compute": asdict(took)}
        write_json(self._file(record.seed, RECORD), content)
        self._left(record.seed).unlink(missing_ok=True)

    def leave(self, seed: int, compute: Compute) -> None:
        """Keep what a seed took that is left before its end."""
        add_left(self._left(seed), compute)

    def checkpoints(self, seed: int) -> Path:
        """Return the folder of what a seed in training needs to go on."""
        return self.root / self.names[seed] / "checkpoints"

    def record(self, seed: int) -> SeedRecord:
        return TypeAdapter(SeedRecord).validate_python(self._content(seed)["record"])

    def compute(self, seed: int) -> Compute:
        """Return what a seed took, in whichever process."""
        return compute_of(self._content(seed)["compute"])

    def probabilities(self, seed: int, split: str) -> np.ndarray:
        return read_array(self._file(seed, f"-{split}.npy"), made_by="train")

    def hand_on_weights(self, seed: int, target: Path) -> None:
        """Put a seed's weights where models lie: the same blocks of the disk where the file system shares them."""
        with replacing(target) as temporary:
            try:
                temporary.hardlink_to(self._file(seed, WEIGHTS))
            except OSError:
                shutil.copyfile(self._file(seed, WEIGHTS), temporary)

    def _content(self, seed: int) -> dict[str, Any]:
        return read_json(self._file(seed, RECORD), made_by="train")

    def _left(self, seed: int) -> Path:
        return self._file(seed, ".left.json")

    def _file(self, seed: int, ending: str) -> Path:
        return self.root / self.names[seed] / f"seed-{seed}{ending}"
