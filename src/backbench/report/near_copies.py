"""Near copies in the data set, side by side, so that a reader sees what was taken for a copy."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from backbench.data.arrays.dataset import NEAR_COPY_OF

MAX_NEAR_COPIES = 12


@dataclass(frozen=True)
class Shown:
    """An image of a split; `image` is uint8 RGB `(S, S, 3)`."""

    path: str
    label: str
    split: str
    image: np.ndarray


@dataclass(frozen=True)
class NearCopy:
    """An image, and the one that it is nearly a copy of."""

    copy: Shown
    original: Shown

    @property
    def remark(self) -> str:
        """Say what is odd: another class, another split; nothing of most."""
        odd = []
        if self.copy.label != self.original.label:
            odd.append("another class")
        if self.copy.split != self.original.split:
            odd.append("another split")
        return ", ".join(odd)


def near_copies(manifest: Sequence[Mapping[str, str]], images: Mapping[str, np.ndarray]) -> list[NearCopy]:
    """Return the first near copies of which both images are in a split, those first of which something is odd.

    Args:
        manifest: The rows of manifest.csv.
        images: uint8 `(n, S, S, 3)` of every split, of which few are read.
    """
    rows = {row["path"]: row for row in manifest if row["split"]}
    pairs = [(row, rows[row[NEAR_COPY_OF]]) for row in rows.values() if row.get(NEAR_COPY_OF) in rows]
    odd_first = sorted(pairs, key=lambda pair: -sum(pair[0][key] != pair[1][key] for key in ("split", "label")))

    def shown(row: Mapping[str, str]) -> Shown:
        return Shown(row["path"], row["label"], row["split"], images[row["split"]][int(row["position"])])

    return [NearCopy(shown(copy), shown(original)) for copy, original in odd_first[:MAX_NEAR_COPIES]]
