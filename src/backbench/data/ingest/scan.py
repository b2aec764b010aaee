"""Walk a folder of class folders, look at every file once, and judge each.

What the folders are is `layout`'s to say. Every file that DVC hashes gets a verdict, and so does a folder that is not
entered.
"""

import os
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from backbench.config.dataset_config import DatasetConfig, Resize
from backbench.data.arrays.sizes import deciding_side
from backbench.data.ingest.decode import UNREADABLE, USABLE, Decoded, bounded, decode, decode_header
from backbench.data.ingest.layout import Layout, find_layout
from backbench.data.ingest.listing import Listing, list_folder, shown
from backbench.data.ingest.pixels import PixelRule
from backbench.runtime.digests import file_sha256
from backbench.runtime.errors import DatasetError

NOT_IN_A_CLASS_FOLDER = "not in a class folder"
EXACT_DUPLICATE = "exact duplicate of"
CONFLICTING_LABEL = "conflicting label with"
TRACKED = "data"
FILES_PER_CHUNK = 64
MOST_THREADS = 4


@dataclass(frozen=True)
class ListedFile:
    """A file before it is opened.

    `path` is relative to the folder, with `/`; `label` is its class, or empty outside any class folder; `own_split` is
    train, val or test where the folder says so, else empty.
    """

    file: Path
    path: str
    label: str
    own_split: str


@dataclass(frozen=True)
class Tree:
    """What stands in a folder: classes and files are sorted, `own_splits` is empty where it has none.

    `left_out` are folders that are not entered, and files that are not opened, with their verdicts. `problems` is a
    line for each thing that keeps the folder from being used.
    """

    classes: tuple[str, ...]
    own_splits: frozenset[str]
    files: tuple[ListedFile, ...]
    left_out: tuple["Examined", ...] = ()
    problems: tuple[str, ...] = ()


@dataclass(frozen=True)
class Examined:
    """A file after it was opened; digests are hexadecimal SHA-256, of the file's bytes and of its pixels.

    `largest_value` is of an image deeper than 8 bits alone.
    """

    path: str
    label: str
    own_split: str
    digest: str
    pixel_digest: str
    width: int | None
    height: int | None
    verdict: str
    largest_value: int | None = None
    is_nearly_constant: bool = False

    @property
    def is_usable(self) -> bool:
        return self.verdict == USABLE

    @classmethod
    def without_pixels(cls, path: str, verdict: str, label: str = "", own_split: str = "") -> "Examined":
        """Judge what is not decoded; its path stands for its digests."""
        return cls(path, label, own_split, path if label else "", path if label else "", None, None, verdict)


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
    """Find every class and every file of a folder; nothing is opened.

    `layout` and `skip_folders` of the configuration settle what a folder is.

    Raises:
        DatasetError: the folder is missing.
    """
    if not folder.is_dir():
        raise DatasetError(f"{folder}: expected a folder of class folders, found none; run `dvc pull` or put it there")
    listing = list_folder(folder, config.skip_folders or ())
    layout = find_layout(listing, folder, config)
    return Tree(
        classes=tuple(map(shown, layout.classes)),
        own_splits=frozenset(layout.split_of.values()),
        files=tuple(sorted(_listed_files(listing, folder, layout), key=lambda listed: listed.path)),
        left_out=tuple(Examined.without_pixels(path, verdict) for path, verdict in sorted(listing.left_out.items())),
        problems=(*_not_skipped(listing, config), *listing.unreadable, *layout.problems),
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
        yield ListedFile(folder.joinpath(*parts), shown("/".join(parts)), label, own_split)


def _digest(file: Path) -> str:
    """Digest a file's bytes; empty where it cannot be read."""
    try:
        # A pipe or a device is never opened: reading one may not end.
        return file_sha256(file) if file.is_file() else ""
    except OSError:
        return ""


def _look(listed: ListedFile, config: DatasetConfig, rule: PixelRule) -> tuple[Examined, np.ndarray | None]:
    digest = _digest(listed.file)
    seen = decode(listed.file, config, rule) if digest else Decoded(UNREADABLE)
    examined = Examined(
        path=listed.path,
        label=listed.label,
        own_split=listed.own_split,
        digest=digest,
        pixel_digest=seen.pixel_digest,
        width=seen.width,
        height=seen.height,
        verdict=seen.verdict if listed.label else NOT_IN_A_CLASS_FOLDER,
        largest_value=seen.largest_value,
        is_nearly_constant=seen.is_nearly_constant,
    )
    return examined, seen.pixels if examined.is_usable else None


def presumed(listed: ListedFile) -> Examined:
    """Take a file for a usable image, unopened."""
    verdict = USABLE if listed.label else NOT_IN_A_CLASS_FOLDER
    return Examined.without_pixels(listed.path, verdict, listed.label, listed.own_split)


def look_at_headers(files: Sequence[ListedFile], config: DatasetConfig) -> Iterator[Examined]:
    """Judge every file by its header, in order: what damage and duplicates leave out is taken for usable."""

    def judged(listed: ListedFile) -> Examined:
        file = presumed(listed)
        if not file.is_usable:
            return file
        seen = decode_header(listed.file, config) if listed.file.is_file() else Decoded(UNREADABLE)
        return replace(file, verdict=seen.verdict, width=seen.width, height=seen.height)

    with _threads() as threads, bounded(config.max_image_pixels):
        yield from threads.map(judged, files)


def examine(
    files: Sequence[ListedFile], config: DatasetConfig, rule: PixelRule
) -> Iterator[tuple[Examined, np.ndarray | None]]:
    """Open every file once, in order, on a few threads; memory is bounded by one chunk of squares.

    Yields:
        The verdict on the file alone, and its uint8 `(side, side, 3)` pixels where it is usable, and the rule has a
        depth or needs none.
    """
    with _threads() as threads:
        for start in range(0, len(files), FILES_PER_CHUNK):
            chunk = files[start : start + FILES_PER_CHUNK]
            with bounded(config.max_image_pixels):
                seen = list(threads.map(lambda listed: _look(listed, config, rule), chunk))
            yield from seen


def deciding_sides(files: Iterable[Examined], resize: Resize) -> list[int]:
    """Return, of each usable picture, the side that becomes the side of its square."""
    return [
        deciding_side(file.width, file.height, resize)
        for file in files
        if file.is_usable and file.width is not None and file.height is not None
    ]


def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(min(os.cpu_count() or 1, MOST_THREADS))


def without_duplicates(files: Sequence[Examined]) -> list[Examined]:
    """Judge files with equal upright RGB pixels, whatever their format: at most one of them stays usable.

    Under one class, the first by sorted path stays: in a folder with its own splits, test goes before train, and train
    before val. Under several classes none stays, for nobody can tell which label is right.
    """
    copies: dict[str, list[Examined]] = defaultdict(list)
    for file in sorted(files, key=lambda file: file.path):
        if file.is_usable:
            copies[file.pixel_digest].append(file)
    verdicts = {file.path: _among(file, copies[file.pixel_digest]) for file in files if file.is_usable}
    return [replace(file, verdict=verdicts.get(file.path, file.verdict)) for file in files]


def _among(file: Examined, copies: Sequence[Examined]) -> str:
    other = next((copy for copy in copies if copy.label != file.label), None)
    if other is not None:
        return f"{CONFLICTING_LABEL} {other.path}"
    return USABLE if file is copies[0] else f"{EXACT_DUPLICATE} {copies[0].path}"
