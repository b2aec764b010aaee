"""What a killed train stage keeps of the seeds that it finished, outside DVC's outs."""

import json
import shutil
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import numpy as np

from backbench import artifacts
from backbench.records import EpochRecord, SeedRecord


class SeedState:
    """A folder with three files per finished seed; the record is written last and says that the seed is done."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def is_done(self, seed: int) -> bool:
        return self._record_file(seed).is_file()

    def keep(self, record: SeedRecord, probabilities: np.ndarray, save_weights: Callable[[Path], None]) -> None:
        """Keep a finished seed: float32 test probabilities `(num_test, num_classes)`, weights, and record."""
        with artifacts.replacing(self.weights_file(record.seed)) as temporary:
            save_weights(temporary)
        artifacts.write_array(self._probabilities_file(record.seed), probabilities)
        artifacts.write_json(self._record_file(record.seed), asdict(record))

    def record(self, seed: int) -> SeedRecord:
        stored = json.loads(self._record_file(seed).read_text(encoding="utf-8"))
        history = tuple(EpochRecord(**epoch) for epoch in stored.pop("history"))
        return SeedRecord(history=history, **stored)

    def probabilities(self, seed: int) -> np.ndarray:
        return artifacts.read_array(self._probabilities_file(seed), made_by="train")

    def weights_file(self, seed: int) -> Path:
        return self._folder / f"seed-{seed}.weights.h5"

    def remove(self) -> None:
        shutil.rmtree(self._folder.parent)

    def _record_file(self, seed: int) -> Path:
        return self._folder / f"seed-{seed}.json"

    def _probabilities_file(self, seed: int) -> Path:
        return self._folder / f"seed-{seed}.npy"
