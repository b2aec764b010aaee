"""TIFF files, spelled tag by tag: Pillow writes neither 16-bit colour nor big-endian numbers nor any fault."""

import struct
import zlib
from collections.abc import Mapping, Sequence

import numpy as np

WIDTH, HEIGHT, BITS, COMPRESSION, PHOTOMETRIC, OFFSET, SAMPLES, ROWS, LENGTH, PLANAR, EXTRA, FORMAT = (
    *(256, 257, 258, 259, 262, 273, 277, 278, 279, 284, 338, 339),
)
GREY, RGB = 1, 2
ALPHA = 2
NONE, DEFLATE = 1, 8
FORMATS = {"u": 1, "i": 2, "f": 3}
Tags = Mapping[int, Sequence[int]]


def tiff(*pages: np.ndarray, order: str = "<", compression: int = NONE, tags: Tags | None = None) -> bytes:
    """Spell arrays `(height, width, channels)` of any type as the pages of a file; `tags` go before its own."""
    content = (b"II*\0" if order == "<" else b"MM\0*") + b"\0\0\0\0"
    link = 4
    for values in pages:
        data = values.astype(values.dtype.newbyteorder(order)).tobytes()
        data = zlib.compress(data) if compression == DEFLATE else data
        start = len(content)
        content += data + b"\0" * (len(data) % 2)
        entries = sorted({**_tags(values, start, len(data), compression), **(tags or {})}.items())
        content, directory = _with_directory(content, entries, order)
        content = content[:link] + struct.pack(f"{order}I", directory) + content[link + 4 :]
        link = len(content) - 4
    return content


def _tags(values: np.ndarray, start: int, length: int, compression: int) -> Tags:
    height, width, num_channels = values.shape
    colours = 3 if num_channels >= 3 else 1
    return {
        WIDTH: [width],
        HEIGHT: [height],
        BITS: [8 * values.dtype.itemsize] * num_channels,
        COMPRESSION: [compression],
        PHOTOMETRIC: [RGB if colours == 3 else GREY],
        OFFSET: [start],
        SAMPLES: [num_channels],
        ROWS: [height],
        LENGTH: [length],
        PLANAR: [1],
        FORMAT: [FORMATS[values.dtype.kind]] * num_channels,
        **({EXTRA: [ALPHA]} if num_channels > colours else {}),
    }


def _with_directory(content: bytes, entries: Sequence[tuple[int, Sequence[int]]], order: str) -> tuple[bytes, int]:
    """Append a directory whose numbers are all of 32 bits, and a link to the next that leads nowhere yet."""
    spelled = b""
    for tag, numbers in entries:
        value = struct.pack(f"{order}{len(numbers)}I", *numbers)
        if len(numbers) > 1:
            content, value = content + value, struct.pack(f"{order}I", len(content))
        spelled += struct.pack(f"{order}HHI", tag, 4, len(numbers)) + value
    start = len(content)
    return content + struct.pack(f"{order}H", len(entries)) + spelled + b"\0\0\0\0", start
