"""scikit-learn's two photographs, as a backbone takes them."""

import numpy as np
from PIL import Image
from sklearn.datasets import load_sample_image


def photograph(name: str, size_pixels: int) -> np.ndarray:
    """The central square of `china.jpg` or `flower.jpg`, resized: uint8 `(1, size, size, 3)`."""
    photo = Image.fromarray(load_sample_image(name))
    width, height = photo.size
    side = min(width, height)
    left, top = (width - side) // 2, (height - side) // 2
    square = photo.crop((left, top, left + side, top + side))
    return np.asarray(square.resize((size_pixels, size_pixels), Image.Resampling.BICUBIC))[None]
