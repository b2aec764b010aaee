"""What the page says about the images: counts, what was left out and why, an example of every class."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

MAX_REJECTED = 50
MAX_SAMPLES = 24


@dataclass(frozen=True)
class DataCard:
    """What `dataset.json` says, with images of it.

    `samples` is one training image per class, uint8 RGB `(S, S, 3)` each; `test_images` are all test images, uint8
    `(n, S, S, 3)`, of which few are read; `manifest` is the rows of manifest.csv.
    """

    content: Mapping[str, Any]
    samples: Sequence[np.ndarray]
    test_images: np.ndarray
    manifest: Sequence[Mapping[str, str]] = field(default=())

    @property
    def classes(self) -> list[str]:
        return [str(name) for name in self.content["classes"]]

    @property
    def examples(self) -> list[tuple[str, np.ndarray]]:
        """The first classes, each with an image."""
        return list(zip(self.classes, self.samples, strict=False))[:MAX_SAMPLES]

    @property
    def num_rejected(self) -> int:
        return int(sum(self.content["rejected"].values()))

    @property
    def rejected_files(self) -> list[tuple[str, str]]:
        """The first files that no split has, with the reason."""
        rejected = [(row["path"], row["verdict"]) for row in self.manifest if not row["split"]]
        return rejected[:MAX_REJECTED]
