"""Views of a training image: a mild random affine, brightness and contrast; and resizing of whole batches."""

import math

import numpy as np
from PIL import Image

from backbench.config.dataset_config import AugmentationConfig

DRAWS_PER_IMAGE = 7


def augmented(
    images: np.ndarray, config: AugmentationConfig, *, seed: int, views: np.ndarray, indices: np.ndarray
) -> np.ndarray:
    """Draw a view of every image; the border is mirrored outwards, and view 0 is the image itself.

    A view depends on its pixels, `seed`, its number and its image's index alone: batches of any size and order draw
    the same.

    Args:
        images: uint8 RGB `(n, S, S, 3)`.
        config: How far a view may differ; all zero is the image itself.
        seed: At least 0.
        views: int `(n,)`, the number of the view wanted of each image.
        indices: int `(n,)`, the index of each image in its split.

    Returns:
        uint8 `(n, S, S, 3)`, newly made.
    """
    side = images.shape[1]
    margin = _margin(side, config)
    mirrored = np.pad(np.arange(side), margin, mode="symmetric")
    drawn = np.empty_like(images)
    for row, (image, view, index) in enumerate(zip(images, views, indices, strict=True)):
        drawn[row] = _view(image, mirrored, margin, _draws(seed, int(view), int(index)), config) if view else image
    return drawn


def _draws(seed: int, view: int, index: int) -> np.ndarray:
    """Return the numbers, uniform in [-1, 1), that decide a view of one image.

    Each view has a stream, in which each image has its own place: no image's numbers depend on which others are drawn.
    """
    stream = np.random.PCG64(int(np.random.SeedSequence([seed, view]).generate_state(1)[0]))
    stream.advance(index * DRAWS_PER_IMAGE)
    return np.random.Generator(stream).uniform(-1, 1, size=DRAWS_PER_IMAGE)


def _margin(side: int, config: AugmentationConfig) -> int:
    """Bound how far outside the image, in pixels, a view may look."""
    turn = math.radians(min(abs(config.rotate_degrees), 45.0))
    reach = (math.cos(turn) + math.sin(turn)) * side / 2 / (1 - config.scale) + config.shift * side
    return math.ceil(reach - side / 2) + 2


def _view(
    image: np.ndarray, mirrored: np.ndarray, margin: int, draw: np.ndarray, config: AugmentationConfig
) -> np.ndarray:
    moved = image
    if config.shift or config.rotate_degrees or config.scale or config.horizontal_flip:
        wide = Image.fromarray(image[mirrored][:, mirrored])
        matrix = _matrix(image.shape[0], margin, draw, config)
        transformed = wide.transform(image.shape[:2], Image.Transform.AFFINE, matrix, Image.Resampling.BILINEAR)
        moved = np.asarray(transformed)
    if not (config.brightness or config.contrast):
        return moved
    levels = np.arange(256, dtype=np.float64)
    middle = float(moved.mean())
    contrasted = (levels - middle) * (1 + draw[5] * config.contrast) + middle
    table = np.rint(np.clip(contrasted * (1 + draw[6] * config.brightness), 0, 255)).astype(np.uint8)
    return np.asarray(table[moved])


def _matrix(side: int, margin: int, draw: np.ndarray, config: AugmentationConfig) -> tuple[float, ...]:
    """Return Pillow's coefficients, from a view's pixel to the mirrored image's, around both centres."""
    angle = math.radians(draw[0] * config.rotate_degrees)
    step = 1 / (1 + draw[1] * config.scale)
    mirror = -1.0 if config.horizontal_flip and draw[4] < 0 else 1.0
    a, b = mirror * step * math.cos(angle), -mirror * step * math.sin(angle)
    d, e = step * math.sin(angle), step * math.cos(angle)
    middle, source = side / 2, margin + side / 2
    x = source + draw[2] * config.shift * side - (a + b) * middle
    y = source + draw[3] * config.shift * side - (d + e) * middle
    return (a, b, x, d, e, y)


def resized(images: np.ndarray, size_pixels: int) -> np.ndarray:
    """Resize uint8 RGB `(n, S, S, 3)`, smoothed where it shrinks, to `(n, size_pixels, size_pixels, 3)`.

    Images of that size already are returned as they are.
    """
    shape = (size_pixels, size_pixels)
    if images.shape[1:3] == shape:
        return images
    sized = np.empty((len(images), *shape, 3), dtype=np.uint8)
    for index, image in enumerate(images):
        sized[index] = np.asarray(Image.fromarray(image).resize(shape, Image.Resampling.BILINEAR))
    return sized
