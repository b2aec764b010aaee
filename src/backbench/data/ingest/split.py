"""Which usable image goes into train, val or test, or into which fold: stratified, seeded, honouring own splits.

Images of a class are ordered by SHA-256 of seed and file digest. So a split depends on the seed and the files alone:
not on names, on other classes, on the order of a listing, or on a random generator's version. Groups are ordered by
their first image, and stay whole; which split a group goes to depends on all classes that it has. Near copies stay
together, and take the place of one of them. Folds are dealt out in the same order, class after class, so that they are
equally large within one image.
"""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain, cycle

from backbench.config.dataset_config import DatasetConfig
from backbench.data.arrays.dataset import split_names
from backbench.data.ingest.group_split import split_groups
from backbench.data.ingest.tree import Examined

RARE_CLASS = "class below min_per_class"


def assign_splits(
    files: Sequence[Examined], classes: Sequence[str], own_splits: Collection[str], config: DatasetConfig
) -> dict[str, str]:
    """Map the path of every drawn image to train, val or test, or to its fold; one that is not drawn is left out.

    Per class: test is the folder's own, else `test_fraction` of the class. Val is the folder's own, else
    `val_per_class` of what is left, else all that `train_per_class` leaves, else `val_fraction` of the class, or,
    where test is the folder's own, of the train pool. Train is `train_per_class` of what is left then, or all of it.
    Only usable files of `classes` are drawn; `shortages` has found enough of each. `own_splits` are those that the
    folder itself gives.

    Where images have groups, these go whole to the splits, by the fractions alone; of each class, train and val then
    have at most `train_per_class` and `val_per_class` images. So do near copies go to folds.
    """
    split_of: dict[str, str] = {}
    of_unit: dict[str, str] = {}
    usable = usable_by_class(files, classes)
    in_folds = config.folds is not None
    if any(file.group or (in_folds and file.together) for members in usable.values() for file in members):
        return _in_whole_groups(usable, own_splits, config)
    if config.folds is not None:
        ordered = [file for of in usable.values() for file in sorted(of, key=lambda file: _place(file, config))]
        return {file.path: fold for file, fold in zip(ordered, cycle(split_names(config.folds)), strict=False)}
    for members in usable.values():
        drawn = _split_class(members, own_splits, config, of_unit)
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
    files: Sequence[Examined], own_splits: Collection[str], config: DatasetConfig, of_unit: dict[str, str]
) -> dict[str, list[Examined]]:
    """Draw the images of a class; `of_unit` has the split of what an earlier class has images of, and grows."""
    drawn = {split: [file for file in files if file.own_split == split] for split in own_splits if split != "train"}
    shares = _shares(sum(file.own_split in ("", "train") for file in files), own_splits, config)
    placed: dict[str, list[Examined]] = {split: [] for split in shares}
    free: dict[str, list[Examined]] = defaultdict(list)
    for file in sorted(files, key=lambda file: _place(file, config)):
        if file.own_split in ("", "train"):
            (placed[of_unit[file.unit]] if file.unit in of_unit else free[file.unit]).append(file)
    # Not of the first by the seed: copies would come to the split that is drawn first more often than others.
    units = sorted(free.values(), key=lambda unit: _place(min(unit, key=lambda file: file.digest), config))
    for split in [split for split in shares if split != "train"]:
        number = shares[split] - len(placed[split])
        is_exact = split == "val" and config.val_per_class is not None
        taken, units = _filled(units, number, is_exact=is_exact)
        drawn[split] = [*placed[split], *chain.from_iterable(taken)][: shares[split] if is_exact else None]
        of_unit |= {unit[0].unit: split for unit in taken}
    of_unit |= {unit[0].unit: "train" for unit in units}
    drawn["train"] = [*placed["train"], *chain.from_iterable(units)][: config.train_per_class]
    return drawn


Units = list[list[Examined]]


def _filled(units: Units, number: int, *, is_exact: bool) -> tuple[Units, Units]:
    """Take units while they fit into `number` images; return them, and those that are left.

    Where none fits the smallest is taken, so that no split is empty; where the number is exact, as many as reach it.
    """
    taken: Units = []
    left: Units = []
    size = 0
    for unit in units:
        if size + len(unit) <= number:
            taken.append(unit)
            size += len(unit)
        else:
            left.append(unit)
    while left and number > size and (is_exact or not taken):
        smallest = min(left, key=len)
        left.remove(smallest)
        taken.append(smallest)
        size += len(smallest)
    return taken, left


def _place(file: Examined, config: DatasetConfig) -> str:
    return hashlib.sha256(f"{config.split_seed}:{file.digest}".encode()).hexdigest()


@dataclass(frozen=True)
class Pool:
    """The groups that are split, in the order that the seed gives, with the number of images of each class."""

    names: tuple[str, ...]
    numbers: tuple[Counter[str], ...]


def pool_in_splits(
    files: Iterable[Examined], own_splits: Collection[str], config: DatasetConfig
) -> tuple[Pool, list[str]]:
    """Gather the groups of usable images that stand in no split of the folder's own, train aside; and split them."""
    members: dict[str, list[Examined]] = defaultdict(list)
    for file in files:
        if file.own_split in ("", "train"):
            members[file.unit].append(file)
    first = {name: min(_place(file, config) for file in of) for name, of in members.items()}
    names = tuple(sorted(members, key=lambda name: (first[name], name)))
    pool = Pool(names, tuple(Counter(file.label for file in members[name]) for name in names))
    counted = pool.numbers
    if config.folds is not None:
        # All images beside each class, or the one that a class has over would go to the first fold of every class.
        counted = tuple(number + Counter({"": number.total()}) for number in counted)
    return pool, split_groups(counted, wanted_shares(own_splits, config))


def wanted_shares(own_splits: Collection[str], config: DatasetConfig) -> dict[str, float]:
    """Return the share of every class's pool that each split gets which the folder does not give; or each fold."""
    if config.folds is not None:
        return dict.fromkeys(split_names(config.folds), 1 / config.folds)
    carved = {"val": config.val_fraction, "test": config.test_fraction}
    carved = {split: share for split, share in carved.items() if split not in own_splits}
    return {"train": 1 - sum(carved.values()), **carved}


def _in_whole_groups(
    usable: Mapping[str, Sequence[Examined]], own_splits: Collection[str], config: DatasetConfig
) -> dict[str, str]:
    pool, splits = pool_in_splits((file for members in usable.values() for file in members), own_splits, config)
    of_group = dict(zip(pool.names, splits, strict=True))
    most = {"train": config.train_per_class, "val": None if "val" in own_splits else config.val_per_class}
    split_of: dict[str, str] = {}
    for members in usable.values():
        in_split: dict[str, list[Examined]] = defaultdict(list)
        for file in sorted(members, key=lambda file: _place(file, config)):
            in_split[of_group[file.unit] if file.own_split in ("", "train") else file.own_split].append(file)
        for split, files in in_split.items():
            split_of |= {file.path: split for file in files[: most.get(split)]}
    return split_of


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
