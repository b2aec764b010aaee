"""What a killed train stage keeps of the seeds that it finished, outside DVC's outs."""

import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path

import numpy as np

from backbench import artifacts
from backbench.records import EpochRecord, SeedRecord


class SeedState:
    """A folder with a few files per finished seed; the record is written last and says that the seed is done."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def is_done(self, seed: int) -> bool:
        return self._record_file(seed).is_file()

    def keep(
        self, record: SeedRecord, probabilities: Mapping[str, np.ndarray], save_weights: Callable[[Path], None]
    ) -> None:
        """Keep a finished seed: float32 probabilities `(num_images, num_classes)` by split, weights, and record."""
        with artifacts.replacing(self.weights_file(record.seed)) as temporary:
            save_weights(temporary)
        for split, values in probabilities.items():
            artifacts.write_array(self._probabilities_file(record.seed, split), values)
        artifacts.write_json(self._record_file(record.seed), asdict(record))

    def record(self, seed: int) -> SeedRecord:
        stored = json.loads(self._record_file(seed).read_text(encoding="utf-8"))
        history = tuple(EpochRecord(**epoch) for epoch in stored.pop("history"))
        return SeedRecord(history=history, **stored)

    def probabilities(self, seed: int, split: str) -> np.ndarray:
        return artifacts.read_array(self._probabilities_file(seed, split), made_by="train")

    def weights_file(self, seed: int) -> Path:
        return self._folder / f"seed-{seed}.weights.h5"

    def remove(self) -> None:
        shutil.rmtree(self._folder.parent)

    def _record_file(self, seed: int) -> Path:
        return self._folder / f"seed-{seed}.json"

    def _probabilities_file(self, seed: int, split: str) -> Path:
        return self._folder / f"seed-{seed}-{split}.npy"
