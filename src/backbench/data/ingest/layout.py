"""Find out what the top folders of a data set are: classes, or splits of class folders.

A folder is a split where its name is a word for one and it holds class folders; a class folder holds images. What may
be read in two ways is refused, with the key of conf/dataset that says which: a guess would make wrong labels.
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from backbench.config.dataset_config import DatasetConfig
from backbench.data.ingest.listing import Listing, shown
from backbench.data.ingest.top_folders import TopFolder, listed, split_word, top_folders

# The one word that is a thing in pictures as well.
ALSO_A_CLASS = ("train", "trains")
CLASSES, SPLITS_BELOW = "classes", "splits"


@dataclass(frozen=True)
class Layout:
    """What the top folders are, as far as it can be said: `problems` is a line for each thing that is not right.

    `split_of` maps top folders to train, val and test; it is empty where they are classes. `classes` are names of
    folders, sorted.
    """

    split_of: Mapping[str, str]
    classes: tuple[str, ...]
    problems: tuple[str, ...] = ()


def find_layout(listing: Listing, folder: Path, config: DatasetConfig) -> Layout:
    """Say what the top folders are, which messages call `folder`; `layout` settles what two readings allow."""
    tops = top_folders(listing)
    named = [top for top in tops if top.split]
    if config.layout == CLASSES or not (config.layout == SPLITS_BELOW or any(top.holds_folders for top in named)):
        return _of_classes(tops, listing, folder, config)
    return _of_splits(named, [top for top in tops if not top.split], listing, folder, config)


def _of_splits(
    named: Sequence[TopFolder], others: Sequence[TopFolder], listing: Listing, folder: Path, config: DatasetConfig
) -> Layout:
    problems = []
    if others and named:
        problems.append(
            f"{folder}: expected split folders alone, or class folders alone, found the split folders "
            f"{listed(top.name for top in named)} beside {listed(top.name for top in others)}; in {config.file} set "
            f"`layout: classes` if all of them are classes, or leave out what is neither by "
            f"`skip_folders: [{listed(top.name for top in others)}]`"
        )
    labelled = [top for top in named if top.holds_folders]
    train_classes = {name for top in labelled if top.split == "train" for name in top.below}
    strange = [top for top in labelled if train_classes and train_classes.isdisjoint(top.below)]
    if not any(top.split == "train" for top in named):
        names = listed(top.name for top in named or others)
        problems.append(f"{folder}: expected train beside {names}, found none; add it, or set `layout: classes`")
    for split in dict.fromkeys(top.split for top in named):
        same = [top.name for top in named if top.split == split]
        if len(same) > 1:
            problems.append(f"{folder}: expected one folder for {split}, found {listed(same)}; join them")
    problems += [_without_labels(top, folder, config.file) for top in named if not top.holds_folders or top in strange]
    problems += [line for top in labelled if top not in strange for line in _too_deep(top, listing, folder)]
    split_of = {top.name: top.split for top in labelled if top not in strange}
    classes = tuple(sorted({name for top in labelled if top.name in split_of for name in top.below}))
    if not problems:
        problems += _too_few(classes, [top.name for top in labelled], listing, folder, config)
    return Layout(split_of, classes, tuple(problems))


def _without_labels(top: TopFolder, folder: Path, conf: str) -> str:
    where = f"{folder}/{shown(top.name)}"
    if not top.num_images and not top.below:
        return f"{where}: expected class folders, found nothing; remove it, or fill it"
    if top.split == "train":
        return f"{where}: expected class folders, found {top.content}; make a folder for each class"
    found = f"{top.content}, which train has not" if top.holds_folders else top.content
    return (
        f"{where}: expected the class folders of train, found {found}: a {top.split} set without labels, as "
        f"competitions have it; set `skip_folders: [{shown(top.name)}]` in {conf}, and {top.split} is taken from train"
    )


def _too_deep(top: TopFolder, listing: Listing, folder: Path) -> list[str]:
    """Say that the class folders lie in one more folder, as some archives have it."""
    if len(top.below) != 1:
        return []
    (only,) = top.below
    inner = [path[2] for path in listing.folders if len(path) == 3 and path[:2] == (top.name, only)]
    if len(inner) < 2 or any(len(file) == 3 and file[:2] == (top.name, only) for file in listing.files):
        return []
    where = f"{folder}/{shown(top.name)}"
    return [f"{where}: expected class folders, found only {shown(only)}, which holds {listed(inner)}; move these up"]


def _of_classes(tops: Sequence[TopFolder], listing: Listing, folder: Path, config: DatasetConfig) -> Layout:
    names = tuple(sorted(top.name for top in tops))
    if config.layout == CLASSES:
        return Layout({}, names, tuple(_too_few(names, (), listing, folder, config)))
    others = [top.name for top in tops if not top.split]
    doubtful = [top for top in tops if top.split and (top.name.lower() not in ALSO_A_CLASS or not others)]
    problems = [_class_or_split(top, others, folder, config.file) for top in doubtful]
    classes = tuple(name for name in names if name not in {top.name for top in doubtful})
    if not doubtful:
        problems += _too_few(classes, (), listing, folder, config) or _splits_by_another_name(tops, folder, config)
    return Layout({}, classes, tuple(problems))


def _class_or_split(top: TopFolder, others: Sequence[str], folder: Path, conf: str) -> str:
    found = f"{folder}/{shown(top.name)}: expected a class or a split, found {top.content}"
    if not others:
        return f"{found}; make a folder for each class in it, or set `layout: classes` in {conf} if it is a class"
    return (
        f"{found} beside the class folders {listed(others)}; in {conf} set `layout: classes` if it is a class, or "
        f"`skip_folders: [{shown(top.name)}]` if it is a {top.split} set without labels"
    )


def _splits_by_another_name(tops: Sequence[TopFolder], folder: Path, config: DatasetConfig) -> list[str]:
    """Refuse folders of folders that look like splits: `seg_train` and `seg_test`, or equal folders in both.

    Where folders are groups, it is said what the equal folders are.
    """
    are_groups = config.group is not None and config.group.folder is not None
    if are_groups or not all(top.below and not top.num_images for top in tops):
        return []
    inner = Counter(name for top in tops for name in top.below)
    by_word = [top.name for top in tops if any(map(split_word, re.split(r"[\W\d_]+", top.name)))]
    shared = sorted(name for name, count in inner.items() if count > 1)
    if not by_word and len(shared) < 2:
        return []
    found = f"{listed(top.name for top in tops)}, which hold " + (
        f"{listed(shared)} each" if len(shared) > 1 else "folders and no images"
    )
    what_to_do = "if they are splits, call them train, val and test"
    if all(map(split_word, inner)):
        what_to_do = "put class folders into split folders, as train/cat"
    expected = f"{folder}: expected classes or splits, found {found}"
    return [f"{expected}; {what_to_do}; if they are classes, set `layout: classes` in {config.file}"]


def _too_few(
    classes: Sequence[str], roots: Sequence[str], listing: Listing, folder: Path, config: DatasetConfig
) -> list[str]:
    if len(classes) > 1:
        return []
    inside = f"{folder}/{shown(roots[0])}" if len(roots) == 1 else str(folder)
    if not classes:
        return [f"{inside}: expected at least 2 class folders, found none; make one folder per class"]
    (only,) = classes
    depth = 1 + bool(roots)
    inner = sorted({path[depth] for path in listing.folders if len(path) == depth + 1 and path[depth - 1] == only})
    found = f"{inside}: expected at least 2 class folders, found only {shown(only)}"
    if not inner:
        return [f"{found}; make one folder per class"]
    path = Path(config.path, *roots[:1], only)
    return [f"{found}, which holds {listed(inner)}; if that is the data set, set `path: {path}` in {config.file}"]
