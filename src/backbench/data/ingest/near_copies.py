"""Which pictures are near copies of one another: resized, compressed anew, cropped a little, marked, in other shades.

A hash proposes pairs, and a second look at their sketches decides: by the hash alone, pictures of little detail would
all be copies. The two thresholds are chosen on pictures of which each is known to be a copy or none (docs/data.md).
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from backbench.data.ingest.likeness import likeness
from backbench.data.ingest.sketches import hashes_of, have_detail

MOST_BITS = 12  # of 64
LEAST_LIKENESS = 0.9
# Bounds what is looked at twice, where all pictures are alike by nature: so many of each, the closest ones.
MOST_PROPOSED = 8
DISTANCES_AT_ONCE = 1 << 20
PAIRS_AT_ONCE = 256


@dataclass(frozen=True, order=True)
class NearPair:
    """Two pictures, by their places in the order given, and in how many bits their hashes differ."""

    num_bits: int
    one: int
    other: int


def near_pairs(sketches: np.ndarray, rows: np.ndarray) -> list[NearPair]:
    """Find near copies among the pictures whose sketches are `rows`, int `(n,)`, of many; the closest pairs first.

    Time grows with the square of `n`, by some nanoseconds; memory does not. Of a picture with more copies than
    `MOST_PROPOSED`, each is in a pair, though not all pairs are found. `sketches`, uint8 `(m, side, side)`, may
    lie in a file.
    """
    compared, hashes = _hashed(sketches, rows)
    found = []
    for proposed in _proposed(hashes):
        for part in _parts(proposed):
            one, other = compared[part[:, 1]], compared[part[:, 2]]
            is_near = likeness(sketches[rows[one]], sketches[rows[other]]) >= LEAST_LIKENESS
            near = np.stack([part[:, 0], one, other], axis=1)[is_near]
            found += [NearPair(*pair) for pair in near.tolist()]
    return sorted(found)


def _hashed(sketches: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return which pictures have enough detail, by their places in `rows`, and their hashes."""
    compared, hashes = [np.zeros(0, dtype=int)], [np.zeros(0, dtype=np.uint64)]
    for places in _parts(np.arange(len(rows))):
        seen = sketches[rows[places]]
        detailed = have_detail(seen)
        if detailed.any():
            compared.append(places[detailed])
            hashes.append(hashes_of(seen[detailed]))
    return np.concatenate(compared), np.concatenate(hashes)


def _parts(rows: np.ndarray) -> Iterator[np.ndarray]:
    for start in range(0, len(rows), PAIRS_AT_ONCE):
        yield rows[start : start + PAIRS_AT_ONCE]


def _proposed(hashes: np.ndarray) -> Iterator[np.ndarray]:
    """Yield rows of bits, one, other: of each picture the closest ones behind it, by the hash."""
    rows = max(1, DISTANCES_AT_ONCE // max(1, len(hashes)))
    for start in range(0, len(hashes), rows):
        bits = np.bitwise_count(hashes[start : start + rows, None] ^ hashes[None, start:])
        one, other = np.nonzero(bits <= MOST_BITS)
        one, other = one[other > one], other[other > one]
        found = np.stack([bits[one, other].astype(int), one + start, other + start], axis=1)
        found = found[np.lexsort((found[:, 2], found[:, 0], found[:, 1]))]
        # The place of each among those of the same picture: they lie together now, the closest first.
        place = np.arange(len(found)) - np.searchsorted(found[:, 1], found[:, 1])
        yield found[place < MOST_PROPOSED]
