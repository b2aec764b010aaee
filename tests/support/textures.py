"""Pictures with coarse and fine detail, as photographs have it, each of which differs from every other."""

import numpy as np
from PIL import Image

SIDE_PIXELS = 96


def texture(number: int) -> Image.Image:
    """Draw coloured noise of four octaves, RGB; the coarsest is the strongest."""
    random = np.random.default_rng(number)
    mixed = np.zeros((SIDE_PIXELS, SIDE_PIXELS, 3))
    for cells, weight in ((4, 1.0), (8, 0.7), (16, 0.5), (32, 0.35)):
        noise = Image.fromarray(random.integers(0, 256, (cells, cells, 3), dtype=np.uint8))
        mixed += weight * np.asarray(noise.resize((SIDE_PIXELS, SIDE_PIXELS), Image.Resampling.BICUBIC))
    low, high = mixed.min(), mixed.max()
    return Image.fromarray(np.rint((mixed - low) / (high - low) * 255).astype(np.uint8))
