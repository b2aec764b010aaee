"""Integer images deeper than 8 bits: read whole, and scaled to 8 bits by one depth for a whole data set.

Of the formats that are read, PNG and TIFF have them. A depth for every image would stretch a dark one to look like a
bright XX significant before a writer scaled them up, which one may have done and another not.
"""

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngImageFile
from PIL.TiffImagePlugin import TiffImageFile

from backbench.data.ingest.source import Source, opened
from backbench.data.ingest.tiff import TiffKind, layout_of, tiff_kind
from backbench.runtime.errors import DatasetError

DEPTHS = (8, 10, 12, 14, 16)
LEVELS = 2**16
FORMATS = ("PNG", "TIFF")
WHITE = 255


@dataclass(frozen=True)
class Depth:
    """By how many bits all of a data set's deep images are scaled.

    `is_declared` where the configuration says it. `largest_value` is of any of the `num_images` deep ones.
    """

    bits: int
    is_declared: bool
    largest_value: int
    num_images: int

    def __str__(self) -> str:
        origin = "declared" if self.is_declared else "observed"
        return (
            f"{self.num_images} images deeper than 8 bits, scaled as {self.bits}-bit ({origin}; largest value "
            f"{self.largest_value} of {2**self.bits - 1})"
        )


def common_depth(largest_of: Mapping[str, int], declared: int | None, *, where: str) -> Depth | None:
    """Return the declared depth, or else the smallest of `DEPTHS` that holds every value; None without deep images.

    `largest_of` has the largest value of each deep image, by its path; `where` is the file that declares a depth.

    Raises:
        DatasetError: a value is over the declared depth.
    """
    if not largest_of:
        return None
    path = max(largest_of, key=lambda name: (largest_of[name], name))
    largest = largest_of[path]
    bits = declared or next(depth for depth in DEPTHS if largest < 2**depth)
    if largest >= 2**bits:
        raise DatasetError(
            f"{where}: depth_bits: expected values up to {2**bits - 1}, as of {bits} bits, found {largest} in {path}; "
            "set more bits, or null to take what the largest value needs"
        )
    return Depth(bits, declared is not None, largest, len(largest_of))


def is_deep(image: Image.Image) -> bool:
    """Say of an opened image, not yet decoded, whether a sample has 16 bits."""
    if isinstance(image, TiffImageFile):
        return tiff_kind(image) is TiffKind.DEEP
    return isinstance(image, PngImageFile) and bool(image.tile) and layout_of(image).endswith(";16B")


def read_whole(source: Source) -> tuple[np.ndarray, dict[Any, Any]]:
    """Decode a deep image with all of its bits.

    Pillow keeps only the high bytes of all but grey. So its decoder is told another layout of the same bytes: four
    channels of 8 bits for grey with alpha; the other byte order for colour, a second time, which keeps the low bytes.

    Returns:
        uint16 `(height, width, channels)`, not yet upright: grey, grey and alpha, RGB, or RGB and alpha; and what the
        file says beside its pixels.
    """
    with Image.open(opened(source), formats=FORMATS) as image:
        layout = layout_of(image)
    if layout.startswith("I;"):
        grey, about = _decoded(source, layout)
        return grey.astype(np.uint16)[..., np.newaxis], about
    if layout == "LA;16B":
        bytes_of, about = _decoded(source, "RGBA")
        return bytes_of.view(">u2").astype(np.uint16), about
    high, about = _decoded(source, layout)
    values = high.astype(np.uint16)
    del high
    values <<= 8
    values |= _decoded(source, layout[:-1] + _other_order(layout[-1]))[0]
    return values, about


def _other_order(order: str) -> str:
    """Return the other order of the two bytes of a sample: B begins with the high one, L with the low one.

    N is what this machine has, in which libtiff hands them over.
    """
    return "L" if order == "B" or (order == "N" and sys.byteorder == "big") else "B"


def _decoded(source: Source, layout: str) -> tuple[np.ndarray, dict[Any, Any]]:
    with Image.open(opened(source), formats=FORMATS) as image:
        image.tile = [tile._replace(args=_with_layout(tile.args, layout)) for tile in image.tile]
        image.load()
        # A TIFF is upright once it is loaded: what it says of its rotation holds no more.
        return np.asarray(image), {} if isinstance(image, TiffImageFile) else image.info


def _with_layout(args: Any, layout: str) -> Any:
    return layout if isinstance(args, str) else (layout, *args[1:])


def largest_value(values: np.ndarray) -> int:
    """Return the largest grey or colour value of a deep image; alpha is none."""
    return int(values[..., : _num_colours(values)].max())


def _num_colours(values: np.ndarray) -> int:
    return 3 if values.shape[-1] >= 3 else 1


def scaled(values: np.ndarray, bits: int) -> np.ndarray:
    """Map uint16 values to uint8, so that the largest of that many bits is 255; what is over it is 255 too."""
    levels = np.minimum(np.arange(LEVELS) * (WHITE / (2**bits - 1)), WHITE)
    return np.rint(levels).astype(np.uint8)[values]


def to_eight_bits(values: np.ndarray, about: Mapping[Any, Any], bits: int) -> Image.Image:
    """Return a deep image as one of 8 bits a channel; alpha is scaled as colours are.

    `values` and `about` are what `read_whole` returns: a colour that stands for transparency becomes alpha. `bits` is
    the data set's depth.
    """
    shown = scaled(values, bits)
    transparent = about.get("transparency")
    if transparent is not None and values.shape[-1] == _num_colours(values):
        is_clear = (values == np.asarray(transparent)).all(axis=-1)
        shown = np.dstack([shown, np.where(is_clear, 0, WHITE).astype(np.uint8)])
    image = Image.fromarray(shown[..., 0] if shown.shape[-1] == 1 else shown)
    image.info = {key: value for key, value in about.items() if key != "transparency"}
    return image
