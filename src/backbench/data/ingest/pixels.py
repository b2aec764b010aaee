"""How an upright RGB picture becomes the square that is stored: one rule for a data set and for new images after it."""

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageOps

from backbench.config.dataset_config import Resize

# Next to nothing after the scaling of nearly every backbone, so that the border excites little.
GREY = (128, 128, 128)
# A picture whose channels have all but a hundredth of their pixels within so many of the 255 levels.
NARROW_LEVELS = 16
OUTLIERS = 0.01


@dataclass(frozen=True)
class PixelRule:
    """What decides the stored square of a picture.

    `depth_bits` is of images deeper than 8 bits, None where the data set has none, or where it is not known yet.
    """

    side_pixels: int
    resize: Resize
    depth_bits: int | None

    def square(self, picture: Image.Image) -> Image.Image:
        """Resize an RGB picture to `side_pixels` on both sides.

        `crop` equals resizing the shorter side and cropping then, without ever holding a long strip enlarged.
        """
        size, bilinear = (self.side_pixels, self.side_pixels), Image.Resampling.BILINEAR
        if self.resize == "pad":
            return ImageOps.pad(picture, size, bilinear, GREY)
        return ImageOps.fit(picture, size, bilinear) if self.resize == "crop" else picture.resize(size, bilinear)


def is_nearly_constant(square: Image.Image) -> bool:
    """Say whether each channel has all but `OUTLIERS` of its pixels within `NARROW_LEVELS` levels."""
    counts = np.asarray(square.histogram()).reshape(-1, 256)
    shares = np.cumsum(counts, axis=1) / np.sum(counts, axis=1, keepdims=True)
    low = np.argmax(shares > OUTLIERS / 2, axis=1)
    high = np.argmax(shares >= 1 - OUTLIERS / 2, axis=1)
    return bool((high - low).max() <= NARROW_LEVELS)
