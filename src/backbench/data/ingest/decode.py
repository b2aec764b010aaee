"""One file to one square of RGB pixels, or to the reason why not.

Pixels are upright (EXIF rotation applied), 8 bits a channel, RGB; `deep` says how deeper ones are scaled. Transparency
lies over white. CMYK is converted without colour management. Of an animation, the first frame is read.
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

from backbench.config.dataset_config import DatasetConfig
from backbench.data.ingest.deep import is_deep, largest_value, read_whole, to_eight_bits
from backbench.data.ingest.pixels import PixelRule, is_nearly_constant
from backbench.data.ingest.source import Source, first_bytes, opened

FORMATS = ("JPEG", "PNG", "BMP", "GIF", "WEBP")
SIGNATURES = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"BM", b"GIF87a", b"GIF89a")

USABLE = "used"
UNREADABLE = "unreadable"
TOO_SMALL = "too small"
TOO_LARGE = "too large"
NOT_AN_IMAGE = "not an image"

# What Pillow's decoders raise on damaged bytes; DecompressionBombError is none of these.
DAMAGE = (OSError, SyntaxError, ValueError, EOFError, LookupError, ArithmeticError, TypeError, struct.error, zlib.error)


@dataclass(frozen=True)
class Decoded:
    """One file, looked at once.

    `pixels` is uint8 `(side, side, 3)` and `pixel_digest` the SHA-256 of the whole upright picture; both only where
    the verdict is `used`. `width` and `height` are None where not even the header could be read. `largest_value` is of
    an image deeper than 8 bits alone; such a one has no pixels yet where the rule has no depth.
    """

    verdict: str
    width: int | None = None
    height: int | None = None
    pixel_digest: str = ""
    pixels: np.ndarray | None = None
    largest_value: int | None = None
    is_nearly_constant: bool = False


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
    return _judged(source, config, lambda image: _deep(source, rule) if is_deep(image) else _seen(image, rule))


def decode_header(source: Source, config: DatasetConfig) -> Decoded:
    """Judge a file as `decode` does, by its header alone: no pixels, and damage behind the header is not seen."""
    return _judged(source, config, lambda image: Decoded(USABLE, *image.size))


def _judged(source: Source, config: DatasetConfig, look: Callable[[Image.Image], Decoded]) -> Decoded:
    try:
        with Image.open(opened(source), formats=FORMATS) as image:
            width, height = image.size
            if min(width, height) < config.min_size_pixels:
                return Decoded(TOO_SMALL, width, height)
            if width * height > config.max_image_pixels:
                return Decoded(TOO_LARGE, width, height)
            return look(image)
    except DecompressionBombError:
        return Decoded(TOO_LARGE)
    except UnidentifiedImageError:
        return Decoded(UNREADABLE if _claims_to_be_an_image(source) else NOT_AN_IMAGE)
    except DAMAGE:
        return Decoded(UNREADABLE)


def _claims_to_be_an_image(source: Source) -> bool:
    start = first_bytes(source, 12)
    return start.startswith(SIGNATURES) or (start[:4] == b"RIFF" and start[8:] == b"WEBP")


def _deep(source: Source, rule: PixelRule) -> Decoded:
    values, about = read_whole(source)
    largest, (height, width) = largest_value(values), values.shape[:2]
    if rule.depth_bits is None:
        return Decoded(USABLE, width, height, largest_value=largest)
    return replace(_seen(to_eight_bits(values, about, rule.depth_bits), rule), largest_value=largest)


def _seen(image: Image.Image, rule: PixelRule) -> Decoded:
    ImageOps.exif_transpose(image, in_place=True)
    picture = rgb(image)
    width, height = picture.size
    digest = hashlib.sha256(f"{width}x{height}:".encode())
    digest.update(picture.tobytes())
    square = rule.square(picture)
    narrow = is_nearly_constant(square)
    return Decoded(USABLE, width, height, digest.hexdigest(), np.asarray(square), is_nearly_constant=narrow)


def rgb(image: Image.Image) -> Image.Image:
    """Convert any mode of 8 bits to RGB: transparency lies over white."""
    if not image.has_transparency_data:
        return image if image.mode == "RGB" else image.convert("RGB")
    layer = image.convert("RGBA")
    white = Image.new("RGBA", layer.size, "white")
    return Image.alpha_composite(white, layer).convert("RGB")
