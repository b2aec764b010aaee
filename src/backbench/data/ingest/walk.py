"""Find the classes and files of a folder, as its class folders or a file of labels say; no image is opened."""

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from backbench.config.dataset_config import DatasetConfig
from backbench.data.ingest.groups import grouped
from backbench.data.ingest.labelled import labelled_tree
from backbench.data.ingest.layout import Layout, find_layout
from backbench.data.ingest.listing import Listing, list_folder, shown
from backbench.data.ingest.tree import NOT_IN_A_CLASS_FOLDER, Examined, ListedFile, Tree
from backbench.runtime.errors import DatasetError

TRACKED = "data"


def tracked_folder(config: DatasetConfig) -> Path:
    """Return the folder that is read, which is one that DVC tracks: new images elsewhere would run nothing again.

    Raises:
        DatasetError: it lies outside `data`.
    """
    folder = Path(os.path.normpath(config.path))
    if folder.parts[:1] != (TRACKED,):
        raise DatasetError(
            f"{config.file}: path: expected {TRACKED}, or a folder in it, which DVC tracks, found "
            f"{config.path}; set path: {TRACKED}, and bring the images there by `rm -rf data data.dvc && "
            f"dvc import-url {config.path} {TRACKED}`"
        )
    return folder


def walk(folder: Path, config: DatasetConfig) -> Tree:
    """Find every class and every file of a folder; no image is opened.

    `labels`, `group`, `layout` and `skip_folders` of the configuration settle what a folder is.

    Raises:
        DatasetError: the folder is missing.
    """
    if not folder.is_dir():
        raise DatasetError(f"{folder}: expected a folder of class folders, found none; run `dvc pull` or put it there")
    listing = list_folder(folder, config.skip_folders or ())
    tree = (
        labelled_tree(listing, folder, config) if config.labels is not None else _class_folders(listing, folder, config)
    )
    problems = (*_not_skipped(listing, config), *listing.unreadable, *tree.problems)
    return grouped(replace(tree, problems=problems), config)


def _class_folders(listing: Listing, folder: Path, config: DatasetConfig) -> Tree:
    layout = find_layout(listing, folder, config)
    return Tree(
        classes=tuple(map(shown, layout.classes)),
        own_splits=frozenset(layout.split_of.values()),
        files=tuple(sorted(_listed_files(listing, folder, layout), key=lambda listed: listed.path)),
        left_out=tuple(Examined.without_pixels(path, verdict) for path, verdict in sorted(listing.left_out.items())),
        problems=layout.problems,
    )


def _not_skipped(listing: Listing, config: DatasetConfig) -> list[str]:
    absent = [name for name in config.skip_folders or () if f"{name}/" not in listing.left_out]
    return [
        f"{config.file}: skip_folders: expected folders of {config.path}, found no {name}; correct it"
        for name in absent
    ]


def _listed_files(listing: Listing, folder: Path, layout: Layout) -> Iterator[ListedFile]:
    classes = set(layout.classes)
    for parts in listing.files:
        own_split = layout.split_of.get(parts[0], "")
        folders = parts[1:-1] if own_split else parts[:-1]
        # Of a folder that is neither a class nor a split, nobody knows yet what its files are.
        if folders and folders[0] not in classes:
            continue
        label = shown(folders[0]) if folders else ""
        verdict = "" if label else NOT_IN_A_CLASS_FOLDER
        yield ListedFile(folder.joinpath(*parts), shown("/".join(parts)), label, own_split, verdict=verdict)
