"""Walk a folder of class folders, look at every file once, and judge each.

A folder holds class folders, or `train` (and `val`, `test`) folders of class folders. Hidden files and folders, whose
names begin with a dot, and what systems and editors leave, are passed over; every other file gets a verdict.
"""

import os
from collections import defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from backbench.artifacts import file_sha256
from backbench.config import DatasetConfig
from backbench.data.decode import UNREADABLE, USABLE, Decoded, bounded, decode, header_size
from backbench.data.pixels import PixelRule
from backbench.data.sizes import deciding_side
from backbench.errors import DatasetError

NOT_IN_A_CLASS_FOLDER = "not in a class folder"
EXACT_DUPLICATE = "exact duplicate of"
CONFLICTING_LABEL = "conflicting label with"
SPLIT_FOLDERS = {"train": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}
# As .dvcignore has it: what DVC does not see must change no verdict.
LEFT_BY_SYSTEMS = {"Thumbs.db", "ehthumbs.db", "desktop.ini", "__pycache__"}
TRACKED = "data"
FILES_PER_CHUNK = 64
MOST_THREADS = 4


@dataclass(frozen=True)
class Candidate:
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
    """What stands in a folder: classes and candidates are sorted, `own_splits` is empty where it has none."""

    classes: tuple[str, ...]
    own_splits: frozenset[str]
    candidates: tuple[Candidate, ...]


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


def tracked_folder(config: DatasetConfig) -> Path:
    """Return the folder that is read, which is one that DVC tracks: new images elsewhere would run nothing again.

    Raises:
        DatasetError: it lies outside `data`.
    """
    folder = Path(os.path.normpath(config.path))
    if folder.parts[:1] != (TRACKED,):
        raise DatasetError(
            f"conf/dataset/{config.name}.yaml: path: expected {TRACKED}, or a folder in it, which DVC tracks, found "
            f"{config.path}; set path: {TRACKED}, and bring the images there by `rm -rf data data.dvc && "
            f"dvc import-url {config.path} {TRACKED}`"
        )
    return folder


def walk(folder: Path) -> Tree:
    """Find every class and every file of a folder; nothing is opened.

    Raises:
        DatasetError: the folder is missing, has fewer than two classes, or mixes split and class folders.
    """
    if not folder.is_dir():
        raise DatasetError(f"{folder}: expected a folder of class folders, found none; run `dvc pull` or put it there")
    split_of = _own_split_folders(folder)
    roots = split_of or {"": ""}
    classes = {name for root in roots for name in _visible_folders(folder / root)}
    if len(classes) < 2:
        found = f"only {', '.join(map(_shown, sorted(classes)))}" if classes else "none"
        raise DatasetError(f"{folder}: expected at least 2 class folders, found {found}; make one folder per class")
    candidates = (_candidate(file, folder, split_of) for file in _files(folder))
    return Tree(
        classes=tuple(sorted(map(_shown, classes))),
        own_splits=frozenset(split_of.values()),
        candidates=tuple(sorted(candidates, key=lambda candidate: candidate.path)),
    )


def _shown(name: str) -> str:
    """Spell a name as text: bytes of a file name that are no UTF-8 become `\\x..`."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def _visible_folders(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir() if entry.is_dir() and _is_visible(entry.name))


def _is_visible(name: str) -> bool:
    return not name.startswith(".") and not name.endswith("~") and name not in LEFT_BY_SYSTEMS


def _own_split_folders(folder: Path) -> dict[str, str]:
    """Map the folder's own split folders to train, val and test; empty where it has class folders only."""
    names = _visible_folders(folder)
    split_of = {name: SPLIT_FOLDERS[name.lower()] for name in names if name.lower() in SPLIT_FOLDERS}
    if "train" not in split_of.values():
        if split_of and len(split_of) == len(names):
            raise DatasetError(f"{folder}: expected train beside {', '.join(names)}, found none; add it")
        return {}
    others = [name for name in names if name not in split_of]
    if others:
        raise DatasetError(
            f"{folder}: expected only train, val and test folders beside train, found {_shown(others[0])};"
            " move it into train, or remove it"
        )
    if len(set(split_of.values())) < len(split_of):
        raise DatasetError(f"{folder}: expected one folder per split, found {', '.join(names)}; join them")
    return split_of


def _files(folder: Path) -> Iterator[Path]:
    """Yield every visible entry that is no folder; a linked folder is entered, but never twice."""
    entered = {os.path.realpath(folder)}
    for parent, folders, names in os.walk(folder, followlinks=True, onerror=_refuse):
        visible = sorted(filter(_is_visible, folders))
        folders[:] = []
        for name in visible:
            real = os.path.realpath(Path(parent) / name)
            if real not in entered:
                entered.add(real)
                folders.append(name)
        yield from (Path(parent) / name for name in filter(_is_visible, names))


def _refuse(error: OSError) -> None:
    raise DatasetError(f"{error.filename}: expected a readable folder, found: {error.strerror}; allow reading it")


def _candidate(file: Path, folder: Path, split_of: dict[str, str]) -> Candidate:
    parts = file.relative_to(folder).parts
    own_split = split_of.get(parts[0], "")
    folders = parts[1:-1] if own_split else parts[:-1]
    return Candidate(file, _shown("/".join(parts)), _shown(folders[0]) if folders else "", own_split)


def _digest(file: Path) -> str:
    """Digest a file's bytes; empty where it cannot be read."""
    # A pipe or a device is never opened: reading one may not end.
    if not file.is_file():
        return ""
    try:
        return file_sha256(file)
    except OSError:
        return ""


def _look(candidate: Candidate, config: DatasetConfig, rule: PixelRule) -> tuple[Examined, np.ndarray | None]:
    digest = _digest(candidate.file)
    seen = decode(candidate.file, config, rule) if digest else Decoded(UNREADABLE)
    verdict = seen.verdict if candidate.label else NOT_IN_A_CLASS_FOLDER
    examined = Examined(
        path=candidate.path,
        label=candidate.label,
        own_split=candidate.own_split,
        digest=digest,
        pixel_digest=seen.pixel_digest,
        width=seen.width,
        height=seen.height,
        verdict=verdict,
        largest_value=seen.largest_value,
        is_nearly_constant=seen.is_nearly_constant,
    )
    return examined, seen.pixels if examined.is_usable else None


def examine(
    candidates: Sequence[Candidate], config: DatasetConfig, rule: PixelRule
) -> Iterator[tuple[Examined, np.ndarray | None]]:
    """Open every candidate once, in order, on a few threads; memory is bounded by one chunk of squares.

    Yields:
        The verdict on the file alone, and its uint8 `(side, side, 3)` pixels where it is usable, and the rule has a
        depth or needs none.
    """
    with _threads() as threads:
        for start in range(0, len(candidates), FILES_PER_CHUNK):
            chunk = candidates[start : start + FILES_PER_CHUNK]
            with bounded(config.max_image_pixels):
                seen = list(threads.map(lambda candidate: _look(candidate, config, rule), chunk))
            yield from seen


def header_sides(candidates: Sequence[Candidate], config: DatasetConfig) -> list[int]:
    """Read the headers of what has a class, and return the deciding side of each picture that will be decoded."""
    files = [candidate.file for candidate in candidates if candidate.label and candidate.file.is_file()]
    with _threads() as threads, bounded(config.max_image_pixels):
        sizes = [size for size in threads.map(header_size, files) if size is not None]
    return [
        deciding_side(width, height, config.resize)
        for width, height in sizes
        if min(width, height) >= config.min_size_pixels and width * height <= config.max_image_pixels
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
