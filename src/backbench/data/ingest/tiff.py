"""TIFF files: of which kind their first page is, and those whose values are floating-point numbers."""

from enum import Enum

import numpy as np
from PIL.ImageFile import ImageFile
from PIL.TiffImagePlugin import TiffImageFile

PHOTOMETRIC, SUBFILE, DNG_VERSION = 262, 254, 50706
WHITE_IS_ZERO, IS_REDUCED = 0, 1
DEEP_LAYOUTS = ("RGB;16", "RGBX;16", "RGBA;16")
WHITE = 255


class TiffKind(Enum):
    """What the first page holds: samples of up to 8 bits, whole ones of 16, fractions, or what is not read."""

    PLAIN = "plain"
    DEEP = "deep"
    FLOAT = "float"
    OTHER = "other"


def tiff_kind(image: TiffImageFile) -> TiffKind:
    """Say of an opened image, not yet decoded, how it is read.

    What is not read: signed numbers and those of 32 bits, of which nobody knows which is white; deep values that count
    down to white, that are premultiplied, or CMYK, of which Pillow keeps half; and a first page that is but a smaller
    copy of another, as the raw files of cameras have it.
    """
    layout = layout_of(image)
    is_copy = bool(image.tag_v2.get(SUBFILE, 0) & IS_REDUCED) or DNG_VERSION in image.tag_v2
    is_wide = ";16" in layout or image.mode.startswith(("I", "F"))
    if is_copy or (is_wide and image.tag_v2.get(PHOTOMETRIC) == WHITE_IS_ZERO):
        return TiffKind.OTHER
    if not is_wide:
        return TiffKind.PLAIN
    if image.mode == "F":
        return TiffKind.FLOAT
    is_deep = image.mode.startswith("I;16") or layout.startswith(DEEP_LAYOUTS)
    return TiffKind.DEEP if is_deep else TiffKind.OTHER


def layout_of(image: ImageFile) -> str:
    """Return Pillow's name of how the samples of a file lie, such as `RGB;16L`."""
    args = image.tile[0].args
    return args if isinstance(args, str) else str((args or ("",))[0])


def scaled_floats(values: np.ndarray, low: float, high: float) -> np.ndarray:
    """Map float32 values to uint8: `low` and what is no number to 0, `high` to 255."""
    shares = (np.nan_to_num(values.astype(np.float64), nan=low) - low) / (high - low)
    return np.rint(np.clip(shares, 0, 1) * WHITE).astype(np.uint8)


def range_of(values: np.ndarray) -> tuple[float, float] | None:
    """Return the least and the largest value that is a number, None where none is."""
    finite = values[np.isfinite(values)]
    return (float(finite.min()), float(finite.max())) if finite.size else None
