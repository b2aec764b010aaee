"""Where the bytes of one image are: in a file of its own, or in memory, as a row of a Parquet file holds them."""

import hashlib
from io import BytesIO
from pathlib import Path

from backbench.runtime.digests import file_sha256

Source = Path | bytes


def opened(source: Source) -> Path | BytesIO:
    """Return what Pillow opens."""
    return BytesIO(source) if isinstance(source, bytes) else source


def is_there(source: Source) -> bool:
    """Say whether it may be opened: reading a pipe or a device may not end."""
    return isinstance(source, bytes) or source.is_file()


def digest_of(source: Source) -> str:
    """Return the hexadecimal SHA-256 of its bytes; empty where they cannot be read."""
    if isinstance(source, bytes):
        return hashlib.sha256(source).hexdigest()
    try:
        return file_sha256(source) if is_there(source) else ""
    except OSError:
        return ""


def first_bytes(source: Source, number: int) -> bytes:
    """Return the first bytes, or fewer where it is shorter."""
    if isinstance(source, bytes):
        return source[:number]
    with source.open("rb") as file:
        return file.read(number)
