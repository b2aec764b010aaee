"""Small folders of images for the tests of the data path: every picture differs from every other."""

import struct
import zlib
from pathlib import Path

import numpy as np
from PIL import Image

from backbench.config.dataset_config import NO_AUGMENTATION, DatasetConfig

SIDE_PIXELS = 16


def picture(number: int, *, size: tuple[int, int] = (SIDE_PIXELS, SIDE_PIXELS)) -> Image.Image:
    """Draw noise that only this number gives, RGB."""
    noise = np.random.default_rng(number).integers(0, 256, size=(size[1], size[0], 3), dtype=np.uint8)
    return Image.fromarray(noise)


def save(image: Image.Image, path: Path) -> Path:
    """Write a picture with its folders; the format follows the name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path)
    return path


def make_folder(folder: Path, num_per_class: int = 10, classes: tuple[str, ...] = ("cat", "dog")) -> Path:
    """Write `num_per_class` PNG files per class into `folder/<class>/`."""
    for index, name in enumerate(classes):
        for number in range(num_per_class):
            save(picture(1000 * index + number), folder / name / f"{number:03}.png")
    return folder


def config_for(folder: Path, **changes: object) -> DatasetConfig:
    """Configure a folder of tiny pictures."""
    values = {
        "name": "tiny",
        "path": str(folder),
        "image_size_pixels": SIDE_PIXELS,
        "resize": "crop",
        "depth_bits": None,
        "min_size_pixels": 8,
        "max_image_pixels": 50_000_000,
        "val_fraction": 0.2,
        "test_fraction": 0.2,
        "split_seed": 0,
        "augmentation": NO_AUGMENTATION,
    } | changes
    return DatasetConfig(**values)  # type: ignore[arg-type]


Chunk = tuple[bytes, bytes]


def png(
    width: int,
    height: int,
    *,
    bit_depth: int,
    colour_type: int,
    rows: bytes,
    interlace: int = 0,
    chunks: tuple[Chunk, ...] = (),
) -> bytes:
    """Spell a PNG file chunk by chunk; Pillow writes neither 16-bit colour nor a header that lies."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width, height, bit_depth, colour_type, 0, 0, interlace)
    spelled = b"".join(chunk(*each) for each in chunks)
    image = chunk(b"IDAT", zlib.compress(rows))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + spelled + image + chunk(b"IEND", b"")


def deep_png(values: np.ndarray, *chunks: Chunk) -> bytes:
    """Spell uint16 `(height, width, channels)` as a PNG file of 16 bits, each row in another of PNG's filters."""
    height, width, num_channels = values.shape
    colour_type = {1: 0, 2: 4, 3: 2, 4: 6}[num_channels]
    rows, above = b"", np.zeros(2 * num_channels * (width + 1), np.uint8)
    for number, row in enumerate(values):
        # A pixel of zeros stands before each row, as the filters have it.
        present = np.concatenate([above[: 2 * num_channels], np.frombuffer(row.astype(">u2").tobytes(), np.uint8)])
        rows += bytes([number % 5]) + _filtered(number % 5, present, above, 2 * num_channels).tobytes()
        above = present
    return png(width, height, bit_depth=16, colour_type=colour_type, rows=rows, chunks=chunks)


def _filtered(kind: int, present: np.ndarray, above: np.ndarray, step: int) -> np.ndarray:
    """Subtract what one of PNG's five filters predicts of each byte (https://www.w3.org/TR/png-3/#9Filters)."""
    left, up, corner = (each.astype(int) for each in (present[:-step], above[step:], above[:-step]))
    distances = np.abs([up - corner, left - corner, left + up - 2 * corner])
    paeth = np.choose(np.argmin(distances, axis=0), [left, up, corner])
    predicted = [np.zeros_like(left), left, up, (left + up) // 2, paeth][kind]
    return ((present[step:].astype(int) - predicted) % 256).astype(np.uint8)
