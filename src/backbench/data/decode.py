"""One file to one square of RGB pixels, or to the reason why not.

Pixels are upright (EXIF rotation applied), 8 bits a channel, RGB. Transparency lies over white. CMYK is converted
without colour management. Of an animation, the first frame is read.
"""

import hashlib
import struct
import warnings
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError
from PIL.Image import DecompressionBombError

from backbench.config import DatasetConfig

FORMATS = ("JPEG", "PNG", "BMP", "GIF", "WEBP")
SIGNATURES = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"BM", b"GIF87a", b"GIF89a")
SIXTEEN_BIT_MODES = ("I", "I;16", "I;16B", "I;16L", "I;16N")
SIXTEEN_TO_EIGHT_BITS = 257

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
    the verdict is `used`. `width` and `height` are None where not even the header could be read.
    """

    verdict: str
    width: int | None = None
    height: int | None = None
    pixel_digest: str = ""
    pixels: np.ndarray | None = None


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


def decode(path: Path, config: DatasetConfig) -> Decoded:
    """Decode a file once, after its header has shown that it is neither too small nor too large.

    Args:
        path: Any file.
        config: `min_size_pixels` bounds the shorter side, `max_image_pixels` width times height.

    Returns:
        The pixels, or the verdict that says why there are none. No damaged file raises.
    """
    return _opened(path, config, lambda image: _seen(image, config.image_size_pixels))


def decode_header(path: Path, config: DatasetConfig) -> Decoded:
    """Judge a file as `decode` does, by its header alone: no pixels, and damage behind the header is not seen."""
    return _opened(path, config, lambda image: Decoded(USABLE, *image.size))


def _opened(path: Path, config: DatasetConfig, look: Callable[[Image.Image], Decoded]) -> Decoded:
    try:
        with Image.open(path, formats=FORMATS) as image:
            width, height = image.size
            if min(width, height) < config.min_size_pixels:
                return Decoded(TOO_SMALL, width, height)
            if width * height > config.max_image_pixels:
                return Decoded(TOO_LARGE, width, height)
            return look(image)
    except DecompressionBombError:
        return Decoded(TOO_LARGE)
    except UnidentifiedImageError:
        return Decoded(UNREADABLE if _claims_to_be_an_image(path) else NOT_AN_IMAGE)
    except DAMAGE:
        return Decoded(UNREADABLE)


def _claims_to_be_an_image(path: Path) -> bool:
    with path.open("rb") as file:
        start = file.read(12)
    return start.startswith(SIGNATURES) or (start[:4] == b"RIFF" and start[8:] == b"WEBP")


def _seen(image: Image.Image, side_pixels: int) -> Decoded:
    ImageOps.exif_transpose(image, in_place=True)
    picture = rgb(image)
    width, height = picture.size
    digest = hashlib.sha256(f"{width}x{height}:".encode())
    digest.update(picture.tobytes())
    return Decoded(USABLE, width, height, digest.hexdigest(), square(picture, side_pixels))


def rgb(image: Image.Image) -> Image.Image:
    """Convert any mode to RGB: 16-bit grey is scaled to 8 bits, transparency lies over white."""
    if image.mode in SIXTEEN_BIT_MODES:
        grey = np.rint(np.asarray(image).astype(np.float64) / SIXTEEN_TO_EIGHT_BITS)
        image = Image.fromarray(np.clip(grey, 0, 255).astype(np.uint8))
    if not image.has_transparency_data:
        return image if image.mode == "RGB" else image.convert("RGB")
    layer = image.convert("RGBA")
    white = Image.new("RGBA", layer.size, "white")
    return Image.alpha_composite(white, layer).convert("RGB")


def square(image: Image.Image, side_pixels: int) -> np.ndarray:
    """Resize the central square, whose side is the shorter one, to uint8 `(side_pixels, side_pixels, 3)`.

    It equals resizing the shorter side and cropping then, without ever holding a long strip enlarged.
    """
    shorter = min(image.size)
    left, top = ((length - shorter) / 2 for length in image.size)
    box = (left, top, left + shorter, top + shorter)
    return np.asarray(image.resize((side_pixels, side_pixels), Image.Resampling.BILINEAR, box=box))
