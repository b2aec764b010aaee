"""Images that belong together, such as those of one patient or site: which they are, and what is wrong with them."""

import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from backbench.config.dataset_config import DatasetConfig, GroupConfig
from backbench.data.arrays.dataset import SPLITS
from backbench.data.ingest.group_split import shares_of
from backbench.data.ingest.shortages import fewer_folds
from backbench.data.ingest.split import Kept, assign_splits, pool_in_splits, usable_by_class, wanted_shares
from backbench.data.ingest.top_folders import listed
from backbench.data.ingest.tree import Examined, Tree

# A share that is as close as this to the wanted one is what was asked for.
CLOSE = 0.05


@dataclass(frozen=True)
class Groups:
    """How many groups each split has, and the class whose share of a split is farthest from the wanted one.

    `by` says what makes a group. Shares are of the images of `farthest_class` that are split, before any is left
    undrawn.
    """

    by: str
    num_groups: dict[str, int]
    farthest_class: str
    farthest_split: str
    share: float
    wanted: float

    @property
    def is_close(self) -> bool:
        return abs(self.share - self.wanted) <= CLOSE

    def __str__(self) -> str:
        counts = ", ".join(f"{split} {number:,}" for split, number in self.num_groups.items())
        said = f"groups by {self.by}, none in two splits: {counts}"
        if self.is_close:
            return said
        return (
            f"{said}; too few groups, or too large ones, to split every class as asked: {self.farthest_split} has "
            f"{self.share:.0%} of {self.farthest_class}, wanted {self.wanted:.0%}"
        )


def grouped(tree: Tree, config: DatasetConfig) -> Tree:
    """Give every file the group that its path says, where the configuration names a folder or a pattern."""
    group = config.group
    if group is None or group.column is not None:
        return tree
    if group.alone:
        return replace(tree, grouping="")
    files = tuple(replace(file, group=_group_of(file.path, group)) for file in tree.files)
    return replace(tree, files=files, grouping=str(group))


def _group_of(path: str, group: GroupConfig) -> str:
    """Return the group that a path names, empty where it names none."""
    if group.folder is not None:
        folders = path.split("/")[:-1]
        return folders[group.folder - 1] if group.folder <= len(folders) else ""
    found = re.search(group.pattern or "", path)
    if found is None:
        return ""
    return "/".join(text for text in found.groups() if text) if found.groups() else found[0]


def folders_below_classes(files: Iterable[tuple[str, str]]) -> dict[str, int]:
    """Return the folders within class folders, and at which depth they lie, of files by path and label; sorted.

    They may be groups: nobody but who made them can tell.
    """
    found = {}
    for path, label in files:
        folders = path.split("/")[:-1]
        depth = folders[:2].index(label) + 1 if label and label in folders[:2] else len(folders)
        if len(folders) > depth:
            found["/".join(folders[: depth + 1])] = depth + 1
    return dict(sorted(found.items()))


def group_problems(kept: Kept, tree: Tree, config: DatasetConfig, *, is_enough: bool) -> list[str]:
    """Say what keeps the groups of `tree` from being split; a line for each.

    `is_enough` where every class has enough images, groups aside: else nothing is split to see whether it can be.
    """
    usable = [file for members in usable_by_class(kept.files, kept.classes).values() for file in members]
    found = [
        *_without_group(usable, config, tree.grouping),
        *_in_several_splits(usable, config),
        *_too_few(usable, kept.classes, tree.own_splits, config),
    ]
    return found if found or not is_enough else list(_not_enough(usable, kept.classes, tree.own_splits, config))


def _without_group(usable: Sequence[Examined], config: DatasetConfig, by: str) -> Iterator[str]:
    without = [file.path for file in usable if not file.group]
    if without:
        yield (
            f"{config.file}: group: expected a group of every image by {by}, found none of {len(without):,} of "
            f"{len(usable):,} images, such as {without[0]}; correct it, or move such images away"
        )


def _in_several_splits(usable: Sequence[Examined], config: DatasetConfig) -> Iterator[str]:
    splits_of: dict[str, set[str]] = defaultdict(set)
    for file in usable:
        if file.group:
            splits_of[file.group].add(file.own_split or "train")
    several = [
        f"{group} ({', '.join(split for split in SPLITS if split in splits)})"
        for group, splits in sorted(splits_of.items())
        if len(splits) > 1
    ]
    if several:
        without = "name no column of splits" if config.labels else "leave a split out by skip_folders"
        yield (
            f"{config.path}: expected every group in one split, found {len(several):,} in several: "
            f"{listed(several)}; move the images of each into one, or {without} in {config.file}"
        )


def _too_few(
    usable: Sequence[Examined], classes: Sequence[str], own_splits: Collection[str], config: DatasetConfig
) -> Iterator[str]:
    carved = list(wanted_shares(own_splits, config))
    groups_of: dict[str, set[str]] = {name: set() for name in classes}
    for file in usable:
        if file.own_split in ("", "train"):
            groups_of[file.label].add(file.group)
    numbers = {name: len(groups) for name, groups in groups_of.items() if 0 < len(groups) < len(carved)}
    if numbers:
        few = listed([f"{name} ({number})" for name, number in numbers.items()])
        fewer = "" if config.folds is None else f"{fewer_folds(min(numbers.values()))}, "
        yield (
            f"expected images of at least {len(carved)} groups in every class, for {', '.join(carved)}, found fewer in "
            f"{few}; {fewer}add images of other groups, or name a finer group in {config.file}"
        )


def _not_enough(
    usable: Sequence[Examined], classes: Sequence[str], own_splits: Collection[str], config: DatasetConfig
) -> Iterator[str]:
    asked, few = numbers_short(usable, classes, own_splits, config)
    if few:
        counts = [key for key in ("train_per_class", "val_per_class", "folds") if getattr(config, key) is not None]
        yield (
            f"expected so many images of every class where groups stay whole: {asked}, found fewer in {listed(few)}; "
            f"add images of other groups{''.join(f', lower {key}' for key in counts)}, or name a finer group in "
            f"{config.file}"
        )


def numbers_short(
    usable: Sequence[Examined], classes: Sequence[str], own_splits: Collection[str], config: DatasetConfig
) -> tuple[str, list[str]]:
    """Say how many images of a class each split that is carved out needs, and which have fewer once all are split."""
    split_of = assign_splits(usable, classes, own_splits, config)
    numbers = dict.fromkeys(((split, name) for split in wanted_shares(own_splits, config) for name in classes), 0)
    for file in usable:
        if (split_of.get(file.path, ""), file.label) in numbers:
            numbers[split_of[file.path], file.label] += 1
    least = dict.fromkeys(wanted_shares(own_splits, config), 1)
    least |= {"train": config.train_per_class or 1, "val": config.val_per_class or 1}
    asked = ", ".join(f"{least[split]} in {split}" for split in wanted_shares(own_splits, config))
    few = [f"{split} of {name} ({number})" for (split, name), number in numbers.items() if number < least[split]]
    return asked, few


def count_groups(kept: Kept, tree: Tree, members: Mapping[str, Sequence[Examined]], config: DatasetConfig) -> Groups:
    """Count the groups of each split, whose drawn images are `members`, and find the share that is farthest off."""
    usable = [file for of in usable_by_class(kept.files, kept.classes).values() for file in of]
    pool, splits = pool_in_splits(usable, tree.own_splits, config)
    have, wanted = shares_of(pool.numbers, splits), wanted_shares(tree.own_splits, config)
    split, name = max(have, key=lambda place: (abs(have[place] - wanted[place[0]]), place))
    num_groups = {of_split: len({file.group for file in files}) for of_split, files in members.items()}
    return Groups(tree.grouping, num_groups, name, split, have[split, name], wanted[split])
