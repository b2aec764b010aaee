"""How many copies are found, and how many pictures that are none are taken for copies: the tables of docs/data.md.

`python -m bench.near_copies FOLDER [SIDE …]`: every image below the folder, each of which differs from all others, or
every square of these sides that they are cut into (2,000 images of 250 px: 1 minute). Expect: no pair among the
pictures themselves, at the thresholds that hold.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image
from rich.console import Console
from rich.table import Table

from backbench.data.ingest.formats import suffixes
from backbench.data.ingest.likeness import likeness
from backbench.data.ingest.near_copies import LEAST_LIKENESS, MOST_BITS
from backbench.data.ingest.sketches import hashes_of, have_detail, sketch_of
from bench.copies import COPIES

MOST_PICTURES = 4000
NUM_COPIED = 300
BITS = (8, 10, MOST_BITS)
LIKENESSES = (0.8, 0.85, LEAST_LIKENESS)
PAIRS_AT_ONCE = 256


def pictures(folder: Path, sides: list[int]) -> Iterator[Image.Image]:
    """Yield the images of a folder, RGB, or the squares of the given sides that they fall into."""
    for file in sorted(folder.rglob("*")):
        if file.suffix.lower() not in suffixes():
            continue
        with Image.open(file) as image:
            whole = image.convert("RGB")
        if not sides:
            yield whole
        for side in sides:
            for top in range(0, whole.height - side + 1, side):
                for left in range(0, whole.width - side + 1, side):
                    yield whole.crop((left, top, left + side, top + side))


def likenesses(some: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Return the likeness of each pair of sketches, `(n,)`."""
    parts = range(0, len(some), PAIRS_AT_ONCE)
    found = [likeness(some[start : start + PAIRS_AT_ONCE], others[start : start + PAIRS_AT_ONCE]) for start in parts]
    return np.concatenate([*found, np.zeros(0)])


def false_pairs(sketches: np.ndarray) -> Table:
    """Count the pairs of different pictures that pass for copies, by both thresholds, and by the hash alone."""
    hashes = hashes_of(sketches)
    bits = np.bitwise_count(hashes[:, None] ^ hashes[None])
    one, other = np.nonzero(np.triu(bits <= MOST_BITS, 1))
    near, alike = bits[one, other], likenesses(sketches[one], sketches[other])
    is_detailed = have_detail(sketches)
    counted = is_detailed[one] & is_detailed[other]
    columns = ["hash alone", "of enough detail", *(f"likeness ≥ {least}" for least in LIKENESSES)]
    table = Table("bits", *columns, title=f"{len(sketches):,} pictures, {is_detailed.sum():,} of enough detail")
    for most in BITS:
        chosen = near <= most
        counts = [chosen.sum(), (chosen & counted).sum()]
        counts += [(chosen & counted & (alike >= least)).sum() for least in LIKENESSES]
        table.add_row(f"≤ {most}", *(f"{count:,}" for count in counts))
    return table


def copies_found(chosen: list[Image.Image]) -> Table:
    """Say which share of each kind of copies is found, by the hash alone and by both."""
    sketches = np.array([sketch_of(picture) for picture in chosen])
    hashes = hashes_of(sketches)
    table = Table("copy", f"hash ≤ {MOST_BITS}", "found", title=f"{len(chosen)} pictures of enough detail")
    for name, copied in COPIES.items():
        of_copies = np.array([sketch_of(copied(picture)) for picture in chosen])
        proposed = np.bitwise_count(hashes_of(of_copies) ^ hashes) <= MOST_BITS
        found = proposed & have_detail(of_copies) & (likenesses(sketches, of_copies) >= LEAST_LIKENESS)
        table.add_row(name, f"{proposed.mean():.0%}", f"{found.mean():.0%}")
    return table


def main() -> None:
    """Print both tables."""
    folder, *sides = sys.argv[1:]
    every = list(pictures(Path(folder), [int(side) for side in sides]))
    order = np.random.default_rng(0).permutation(len(every))[:MOST_PICTURES]
    chosen = [every[number] for number in order]
    sketches = np.array([sketch_of(picture) for picture in chosen])
    console = Console()
    console.print(false_pairs(sketches))
    detailed = np.flatnonzero(have_detail(sketches))[:NUM_COPIED]
    console.print(copies_found([chosen[number] for number in detailed]))


if __name__ == "__main__":
    main()
