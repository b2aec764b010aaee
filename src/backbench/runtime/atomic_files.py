"""Finished files and folders under their final names, of which a power cut takes neither name nor content."""

import errno
import os
import shutil
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

# What a file system answers that has no such call for folders, as some network ones have none.
CANNOT_SYNC = (errno.EINVAL, errno.ENOTSUP)


def sync(path: Path) -> None:
    """Have the disk hold a file, or the names in a folder: without it a power cut leaves a name of nothing."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in CANNOT_SYNC:
            raise
    finally:
        os.close(descriptor)


def put_in_place(temporary: Path, path: Path) -> None:
    """Give a finished file another name on the same file system, at once and for good."""
    sync(temporary)
    temporary.replace(path)
    sync(path.parent)


def put_folder_in_place(folder: Path, target: Path) -> None:
    """Put a finished folder where another may lie, whole or not at all, from another file system too."""
    target.parent.mkdir(parents=True, exist_ok=True)
    beside = target.with_name(f".{target.name}.tmp")
    if folder != beside:
        shutil.rmtree(beside, ignore_errors=True)
        shutil.move(folder, beside)
    for path in (beside, *beside.rglob("*")):
        sync(path)
    shutil.rmtree(target, ignore_errors=True)
    beside.rename(target)
    sync(target.parent)


def remove_others(folder: Path, names: Collection[str]) -> None:
    """Remove the folders in a folder that have none of these names; it need not be there."""
    for other in folder.glob("*"):
        if other.name not in names:
            shutil.rmtree(other)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path` that takes its place on success and vanishes on failure."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{os.getpid()}.{path.name}")  # Keras and others look at the suffixes.
    try:
        yield temporary
        put_in_place(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
