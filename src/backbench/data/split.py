"""Which usable image goes into train, val or test: stratified, seeded, and honouring the folder's own splits.

Images of a class are ordered by SHA-256 of seed and file digest. So a split depends on the seed and the files alone:
not on names, on other classes, on the order of a listing, or on a random generator's version.
"""

import hashlib
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence

from backbench.config import DatasetConfig
from backbench.data.dataset import SPLITS
from backbench.data.scan import Examined
from backbench.errors import DatasetError


def assign_splits(
    files: Sequence[Examined], classes: Sequence[str], own_splits: Collection[str], config: DatasetConfig
) -> dict[str, str]:
    """Map the path of every drawn image to train, val or test; an image that is not drawn is left out.

    Per class: test is the folder's own, else `test_fraction` of the class. Val is the folder's own, else
    `val_per_class` of what is left, else all that `train_per_class` leaves, else `val_fraction` of the class, or,
    where test is the folder's own, of the train pool. Train is `train_per_class` of what is left then, or all of it.

    Args:
        files: Examined files; only usable ones are drawn.
        classes: Every class that must have images.
        own_splits: The splits that the folder itself gives; empty where it gives none.
        config: Counts, fractions and `split_seed`.

    Raises:
        DatasetError: a class is empty, or has too few images for what is asked.
    """
    usable: dict[str, list[Examined]] = defaultdict(list)
    for file in files:
        if file.is_usable:
            usable[file.label].append(file)
    split_of: dict[str, str] = {}
    for name in classes:
        drawn = _split_class(name, usable[name], own_splits, config)
        _check_class(name, drawn, len(usable[name]), own_splits, config)
        split_of |= {file.path: split for split, members in drawn.items() for file in members}
    return split_of


def _rank(file: Examined, seed: int) -> str:
    return hashlib.sha256(f"{seed}:{file.digest}".encode()).hexdigest()


def _split_class(
    name: str, files: Sequence[Examined], own_splits: Collection[str], config: DatasetConfig
) -> dict[str, list[Examined]]:
    drawn: dict[str, list[Examined]] = {
        split: [file for file in files if file.own_split == split] for split in own_splits if split != "train"
    }
    pool = [file for file in files if file.own_split in ("", "train")]
    pool.sort(key=lambda file: _rank(file, config.split_seed))
    if "test" not in own_splits:
        count = _share(len(pool), config.test_fraction)
        drawn["test"], pool = pool[:count], pool[count:]
    if "val" not in own_splits:
        count = _num_val(len(pool), len(drawn["test"]), own_splits, config)
        drawn["val"], pool = pool[:count], pool[count:]
    drawn["train"] = pool[: config.train_per_class]
    return drawn


def _share(count: int, fraction: float) -> int:
    return max(1, round(count * fraction))


def _num_val(num_pool: int, num_test: int, own_splits: Collection[str], config: DatasetConfig) -> int:
    if config.val_per_class is not None:
        return config.val_per_class
    if config.train_per_class is not None:
        return max(0, num_pool - config.train_per_class)
    return _share(num_pool if "test" in own_splits else num_pool + num_test, config.val_fraction)


def _check_class(
    name: str,
    drawn: Mapping[str, Sequence[Examined]],
    num_usable: int,
    own_splits: Collection[str],
    config: DatasetConfig,
) -> None:
    if not num_usable:
        raise DatasetError(
            f"class {name}: expected JPEG, PNG, BMP, GIF or WebP images, found none that can be used;"
            " add images, or remove the folder"
        )
    needed = {"train": config.train_per_class or 1, "val": 1, "test": 1}
    if "val" not in own_splits and config.val_per_class is not None:
        needed["val"] = config.val_per_class
    for split in SPLITS:
        if len(drawn[split]) < needed[split]:
            what_to_do = f"add images to {split}" if split in own_splits else "add images, or ask for fewer per class"
            raise DatasetError(
                f"class {name}: expected at least {needed[split]} images for {split}, found {len(drawn[split])}"
                f" of {num_usable} usable ones; {what_to_do}"
            )
