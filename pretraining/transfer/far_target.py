"""A target task far from glyphs: which material is this? Drawn by program, by classes that the source never saw.

Pose, scale, colours, contrast, polarity, light, noise and blur are random, so that neither colour nor any one pixel
tells the class. Image `index` of a seed depends on nothing but the two.

Source:
    Materials and textures as recognition targets: Cimpoi et al. 2014, Describing Textures in the Wild.
"""

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from pretraining.formula.warping import grid, random_pose, smooth_noise
from pretraining.transfer.materials import MATERIALS

SIZE_PIXELS = 64
SUPERSAMPLING = 2
NUM_CLASSES = len(MATERIALS)
POOL_PER_CLASS = 60
TEST_PER_CLASS = 100
ELEMENTS_PER_HALF_SIDE = (1.6, 3.0)

Images = NDArray[np.uint8]
Labels = NDArray[np.int32]


def _coordinates(rng: np.random.Generator, size: int) -> np.ndarray:
    """Look at the material under a random pose, slightly bent: `(2, size, size)` in units of its elements."""
    pose = random_pose(rng, low=0.9, high=1.1, rotate_degrees=180.0, shift=0.5)
    turned = (pose.matrix @ (grid(size) - pose.shift[:, None, None]).reshape(2, -1)).reshape(2, size, size)
    bend = rng.uniform(0.0, 0.05) * np.stack([smooth_noise(rng, size, 4), smooth_noise(rng, size, 4)])
    return np.asarray((turned + bend) * rng.uniform(*ELEMENTS_PER_HALF_SIDE), dtype=np.float64)


def _coloured(height: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Paint low and high places in two colours, often close to each other: `(n, n, 3)`."""
    middle = rng.uniform(0.25, 0.75, 3)
    direction = rng.normal() + rng.uniform(0.1, 1.0) * rng.normal(size=3)
    contrast = np.exp(rng.uniform(np.log(0.25), np.log(0.9)))
    span = contrast * direction / np.abs(direction).max()
    return np.asarray(middle + (height[..., None] - 0.5) * span)


def _lit(image: np.ndarray, height: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Throw light from one side on the relief, and unevenly on the whole."""
    angle = rng.uniform(0.0, 2 * np.pi)
    down, across = np.gradient(height)
    relief = rng.uniform(0.0, 0.8) * (down * np.sin(angle) + across * np.cos(angle))
    falloff = rng.uniform(0.0, 0.25) * smooth_noise(rng, len(height), 3)
    return np.asarray(image * (1.0 + falloff[..., None]) + np.clip(relief, -0.3, 0.3)[..., None])


def draw_one(seed: int, index: int) -> tuple[Images, int]:
    """Draw image `index`: `(64, 64, 3)` uint8 RGB, and its class, which goes round with the index."""
    rng = np.random.default_rng((seed, index))
    label = index % NUM_CLASSES
    side = SIZE_PIXELS * SUPERSAMPLING
    height = MATERIALS[label](_coordinates(rng, side), rng)
    image = _lit(_coloured(height, rng), height, rng)
    fine = image.reshape(SIZE_PIXELS, SUPERSAMPLING, SIZE_PIXELS, SUPERSAMPLING, 3).mean(axis=(1, 3))
    noisy = fine + rng.normal(size=fine.shape) * rng.uniform(0.0, 0.05)
    pixels = np.clip(noisy * 255.0, 0, 255).astype(np.uint8)
    blurred = Image.fromarray(pixels).filter(ImageFilter.GaussianBlur(float(rng.uniform(0.0, 0.9))))
    return np.asarray(blurred), label


def draw(seed: int, indices: range) -> tuple[Images, Labels]:
    """Draw images by their indices.

    Args:
        seed: Names the stream, at least 0; the same index of another seed is another image.
        indices: Which images of the stream; ten in a row hold every class once.

    Returns:
        `(n, 64, 64, 3)` uint8 RGB and `(n,)` int32 labels in [0, `NUM_CLASSES`).
    """
    images = np.empty((len(indices), SIZE_PIXELS, SIZE_PIXELS, 3), np.uint8)
    labels = np.empty(len(indices), np.int32)
    for row, index in enumerate(indices):
        images[row], labels[row] = draw_one(seed, index)
    return images, labels
