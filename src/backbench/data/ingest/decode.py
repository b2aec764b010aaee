"""One file to one square of RGB pixels, or to the reason why not.

Pixels are upright (EXIF rotation applied), 8 bits a channel, RGB; `deep` says how deeper ones are scaled. Transparency
lies over white. CMYK is converted without colour management. Of an animation, the first frame is read, and the first
page of a TIFF.
"""

import hashlib
import struct
import warnings
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError
from PIL.Image import DecompressionBombError
from PIL.TiffImagePlugin import TiffImageFile

from backbench.config.dataset_config import DatasetConfig
from backbench.data.ingest.deep import is_deep, largest_value, read_whole, to_eight_bits
from backbench.data.ingest.formats import SIGNATURE_BYTES, UNREADABLE, formats, verdict_on
from backbench.data.ingest.pixels import PixelRule, is_nearly_constant
from backbench.data.ingest.sketches import sketch_of
from backbench.data.ingest.source import Source, first_bytes, opened
from backbench.data.ingest.tiff import TiffKind, range_of, scaled_floats, tiff_kind

USABLE = "used"
KIND_NOT_READ = "TIFF of a kind that is not read"
TOO_SMALL = "too small"
TOO_LARGE = "too large"
# Of floating-point values where no other range is declared.
ZERO_TO_ONE = (0.0, 1.0)

# What Pillow's decoders raise on damaged bytes; DecompressionBombError is none of these.
DAMAGE = (OSError, SyntaxError, ValueError, EOFError, LookupError, ArithmeticError, TypeError, struct.error, zlib.error)


@dataclass(frozen=True)
class Decoded:
    """One file, looked at once.

    `pixels` is uint8 `(side, side, 3)` and `pixel_digest` the SHA-256 of the whole upright picture; both only where
    the verdict is `used`. `width` and `height` are None where not even the header could be read. `largest_value` is of
    an image deeper than 8 bits alone; such a one has no pixels yet where the rule has no depth. `float_range` is the
    least and the largest value of an image of floating-point numbers. `num_pages` is of a TIFF. `sketch` is
    there with the pixels, where near copies are looked for.
    """

    verdict: str
    width: int | None = None
    height: int | None = None
    pixel_digest: str = ""
    pixels: np.ndarray | None = None
    largest_value: int | None = None
    is_nearly_constant: bool = False
    float_range: tuple[float, float] | None = None
    num_pages: int = 1
    sketch: np.ndarray | None = None


@contextmanager
def bounded(max_image_pixels: int) -> Iterator[None]:
    """Let Pillow itself refuse, while it reads a header, what is over twice the limit; and let it not warn.

    Both are settings of the whole process, so this is entered outside any thread, and `decode` called inside.
    """
    before, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, max_image_pixels
    try:
        with warnings.catch_warnings():
            # Pillow warns of oddities in a picture that it reads nevertheless.
            warnings.simplefilter("ignore")
            yield
    finally:
        Image.MAX_IMAGE_PIXELS = before


def decode(source: Source, config: DatasetConfig, rule: PixelRule) -> Decoded:
    """Decode any file once: its pixels, or the verdict that says why there are none. No damaged file raises.

    First its header has to show that it is neither too small nor too large: `min_size_pixels` bounds the shorter side,
    `max_image_pixels` width times height.
    """
    return _judged(source, config, lambda image: _looked_at(image, source, config, rule))


def decode_header(source: Source, config: DatasetConfig) -> Decoded:
    """Judge a file as `decode` does, by its header alone: no pixels, and damage behind the header is not seen."""
    return _judged(source, config, lambda image: Decoded(_kind(image), *image.size))


def _judged(source: Source, config: DatasetConfig, look: Callable[[Image.Image], Decoded]) -> Decoded:
    try:
        with Image.open(opened(source), formats=formats()) as image:
            width, height = image.size
            if min(width, height) < config.min_size_pixels:
                return Decoded(TOO_SMALL, width, height)
            if width * height > config.max_image_pixels:
                return Decoded(TOO_LARGE, width, height)
            return look(image)
    except DecompressionBombError:
        return Decoded(TOO_LARGE)
    except UnidentifiedImageError:
        return Decoded(verdict_on(first_bytes(source, SIGNATURE_BYTES)))
    except DAMAGE:
        return Decoded(UNREADABLE)


def _kind(image: Image.Image) -> str:
    is_other = isinstance(image, TiffImageFile) and tiff_kind(image) is TiffKind.OTHER
    return KIND_NOT_READ if is_other else USABLE


def _looked_at(image: Image.Image, source: Source, config: DatasetConfig, rule: PixelRule) -> Decoded:
    if _kind(image) != USABLE:
        return Decoded(_kind(image), *image.size)
    if isinstance(image, TiffImageFile):
        num_pages = image.n_frames
        is_float = tiff_kind(image) is TiffKind.FLOAT
        seen = _floats(image, config, rule) if is_float else _whole_numbers(image, source, config, rule)
        return replace(seen, num_pages=num_pages)
    return _whole_numbers(image, source, config, rule)


def _whole_numbers(image: Image.Image, source: Source, config: DatasetConfig, rule: PixelRule) -> Decoded:
    return _deep(source, config, rule) if is_deep(image) else _seen(image, config, rule)


def _floats(image: Image.Image, config: DatasetConfig, rule: PixelRule) -> Decoded:
    low, high = config.float_range or ZERO_TO_ONE
    values = np.asarray(image)
    seen = _seen(Image.fromarray(scaled_floats(values, low, high)), config, rule)
    return replace(seen, float_range=range_of(values) or (low, low))


def _deep(source: Source, config: DatasetConfig, rule: PixelRule) -> Decoded:
    values, about = read_whole(source)
    largest, (height, width) = largest_value(values), values.shape[:2]
    if rule.depth_bits is None:
        return Decoded(USABLE, width, height, largest_value=largest)
    return replace(_seen(to_eight_bits(values, about, rule.depth_bits), config, rule), largest_value=largest)


def _seen(image: Image.Image, config: DatasetConfig, rule: PixelRule) -> Decoded:
    ImageOps.exif_transpose(image, in_place=True)
    picture = rgb(image)
    width, height = picture.size
    digest = hashlib.sha256(f"{width}x{height}:".encode())
    digest.update(picture.tobytes())
    square = rule.square(picture)
    narrow = is_nearly_constant(square)
    seen = Decoded(USABLE, width, height, digest.hexdigest(), np.asarray(square), is_nearly_constant=narrow)
    return replace(seen, sketch=sketch_of(picture)) if config.near_duplicates else seen


def rgb(image: Image.Image) -> Image.Image:
    """Convert any mode of 8 bits to RGB: transparency lies over white."""
    if not image.has_transparency_data:
        return image if image.mode == "RGB" else image.convert("RGB")
    layer = image.convert("RGBA")
    white = Image.new("RGBA", layer.size, "white")
    return Image.alpha_composite(white, layer).convert("RGB")
