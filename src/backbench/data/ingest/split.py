"""Which usable image goes into train, val or test: stratified, seeded, and honouring the folder's own splits.

Images of a class are ordered by SHA-256 of seed and file digest. So a split depends on the seed and the files alone:
not on names, on other classes, on the order of a listing, or on a random generator's version.
"""

import hashlib
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace

from backbench.config.dataset_config import DatasetConfig
from backbench.data.ingest.tree import Examined

RARE_CLASS = "class below min_per_class"


def assign_splits(
    files: Sequence[Examined], classes: Sequence[str], own_splits: Collection[str], config: DatasetConfig
) -> dict[str, str]:
    """Map the path of every drawn image to train, val or test; an image that is not drawn is left out.

    Per class: test is the folder's own, else `test_fraction` of the class. Val is the folder's own, else
    `val_per_class` of what is left, else all that `train_per_class` leaves, else `val_fraction` of the class, or,
    where test is the folder's own, of the train pool. Train is `train_per_class` of what is left then, or all of it.
    Only usable files of `classes` are drawn; `shortages` has found enough of each. `own_splits` are those that the
    folder itself gives.
    """
    split_of: dict[str, str] = {}
    for members in usable_by_class(files, classes).values():
        drawn = _split_class(members, own_splits, config)
        split_of |= {file.path: split for split, of in drawn.items() for file in of}
    return split_of


def usable_by_class(files: Iterable[Examined], classes: Iterable[str]) -> dict[str, list[Examined]]:
    usable: dict[str, list[Examined]] = {name: [] for name in classes}
    for file in files:
        if file.is_usable and file.label in usable:
            usable[file.label].append(file)
    return usable


@dataclass(frozen=True)
class Kept:
    """Files and classes after rare classes are left out; `rare` has the number of usable images of each that was."""

    files: list[Examined]
    classes: tuple[str, ...]
    rare: dict[str, int]


def without_rare_classes(files: Sequence[Examined], classes: Sequence[str], min_per_class: int | None) -> Kept:
    """Leave out classes with fewer usable images than `min_per_class`; null leaves out none."""
    numbers = {name: len(members) for name, members in usable_by_class(files, classes).items()}
    rare = {name: number for name, number in numbers.items() if number < (min_per_class or 0)}
    judged = [replace(file, verdict=RARE_CLASS) if file.is_usable and file.label in rare else file for file in files]
    return Kept(judged, tuple(name for name in classes if name not in rare), rare)


def _split_class(
    files: Sequence[Examined], own_splits: Collection[str], config: DatasetConfig
) -> dict[str, list[Examined]]:
    drawn = {split: [file for file in files if file.own_split == split] for split in own_splits if split != "train"}
    pool = [file for file in files if file.own_split in ("", "train")]
    pool.sort(key=lambda file: hashlib.sha256(f"{config.split_seed}:{file.digest}".encode()).hexdigest())
    for split, number in _shares(len(pool), own_splits, config).items():
        drawn[split], pool = pool[:number], pool[number:]
    return drawn


def _shares(num_pool: int, own_splits: Collection[str], config: DatasetConfig) -> dict[str, int]:
    """Say how many of a class's pool each split gets that the folder does not give; train comes last."""
    shares: dict[str, int] = {}
    if "test" not in own_splits:
        shares["test"] = _share(num_pool, config.test_fraction)
    left = max(0, num_pool - shares.get("test", 0))
    if "val" not in own_splits:
        shares["val"] = _num_val(left, num_pool, config)
    left = max(0, left - shares.get("val", 0))
    return {**shares, "train": left if config.train_per_class is None else min(left, config.train_per_class)}


def _share(count: int, fraction: float) -> int:
    return max(1, round(count * fraction))


def _num_val(num_left: int, num_pool: int, config: DatasetConfig) -> int:
    if config.val_per_class is not None:
        return config.val_per_class
    if config.train_per_class is not None:
        return max(0, num_left - config.train_per_class)
    return _share(num_pool, config.val_fraction)


def suffices(num_pool: int, own_splits: Collection[str], config: DatasetConfig) -> bool:
    """Say whether every split that is taken from a class's pool gets what is asked of it."""
    shares = _shares(num_pool, own_splits, config)
    needed = {"train": config.train_per_class or 1, "val": config.val_per_class or 1, "test": 1}
    return sum(shares.values()) <= num_pool and all(number >= needed[split] for split, number in shares.items())
