"""The source task: which shape is drawn here, in whatever colour, over whatever clutter?

A shape of one class is laid over a background, either opaquely or as the absolute difference of the two,
then lit, blurred and made noisy. Two images of five are easy: a plain background and no noise.
Image `index` of a seed depends on nothing but the two.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from pretraining.formula import contours, fractals, glyphs, scenes, strokes, textures
from pretraining.formula.scenes import Colours, shaded
from pretraining.formula.warping import Plane, smooth_noise

Images = NDArray[np.uint8]
Labels = NDArray[np.int32]


@dataclass(frozen=True)
class Part:
    """One kind of shape: how many classes it has, which share of the images, and how one is drawn."""

    name: str
    num_classes: int
    share: float
    draw: Callable[[int, np.random.Generator, int], Plane]


EASY_OF_FIVE = 2

PARTS = (
    Part("glyphs", len(glyphs.CLASSES), 0.66, glyphs.draw),
    Part("strokes", strokes.NUM_CLASSES, 0.14, strokes.draw),
    Part("fractals", fractals.NUM_CLASSES, 0.06, fractals.draw),
    Part("contours", contours.NUM_CLASSES, 0.06, contours.draw),
    Part("textures", textures.NUM_CLASSES, 0.08, textures.draw),
)


def num_classes() -> int:
    """Return the number of classes of the whole mixture."""
    return sum(part.num_classes for part in PARTS)


def is_easy(indices: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Tell which images are easy, so that training can begin with them."""
    easy: NDArray[np.bool_] = indices % 5 < EASY_OF_FIVE
    return easy


def _ragged_region(rng: np.random.Generator, size: int) -> Plane:
    """Draw a large soft region, where a texture shows: `(size, size)` in [0, 1]."""
    region: Plane = np.clip(smooth_noise(rng, size, 3) * 4.0 + rng.uniform(2.0, 5.0), 0.0, 1.0)
    return region


def _ink_colour(rng: np.random.Generator, size: int, plane: Plane) -> Colours:
    """Choose the shape's colours: white or light, any flat colour, or a shade that varies."""
    choice = rng.random()
    if choice < 0.55:
        return np.full(3, rng.uniform(0.7, 1.0), np.float32)
    if choice < 0.85:
        return rng.uniform(0.0, 1.0, 3).astype(np.float32)
    return shaded(np.clip(0.5 + 0.3 * smooth_noise(rng, size, 3), 0.0, 1.0), rng)


def _blended(background: Colours, ink: Plane, colour: Colours, rng: np.random.Generator) -> Colours:
    """Blend by absolute difference of the channels, or opaquely with a colour that stands out."""
    opacity = ink[..., None]
    if rng.random() < 0.6:
        return np.abs(np.clip(background, 0.0, 1.0) - opacity * np.maximum(colour, 0.45))
    contrast = np.abs(colour - background.mean((0, 1))).max()
    if contrast < 0.45:
        colour = np.where(background.mean((0, 1)) < 0.5, 1.0, 0.0) * 0.7 + colour * 0.3
    return background + (colour - background) * opacity * np.float32(rng.uniform(0.8, 1.0))


def _finished(image: Colours, rng: np.random.Generator, *, noisy: bool) -> Images:
    """Light, blur and sprinkle noise; returns uint8."""
    image = image * np.float32(rng.uniform(0.75, 1.15)) + np.float32(rng.uniform(-0.06, 0.06))
    if noisy and rng.random() < 0.3:
        noise = rng.standard_normal(image.shape, dtype=np.float32)
        image = image + noise * np.float32(rng.uniform(0.0, 0.05))
    pixels = np.clip(image * 255.0, 0, 255).astype(np.uint8)
    if noisy and rng.random() < 0.2:
        blur = ImageFilter.GaussianBlur(float(rng.uniform(0.3, 1.1)))
        pixels = np.asarray(Image.fromarray(pixels).filter(blur))
    return pixels


def draw_one(seed: int, index: int, size: int) -> tuple[Images, int]:
    """Draw image `index`: `(size, size, 3)` uint8 RGB, and its class."""
    rng = np.random.default_rng((seed, index))
    shares = np.cumsum([part.share for part in PARTS])
    chosen = min(int(np.searchsorted(shares, rng.random())), len(PARTS) - 1)
    part = PARTS[chosen]
    label = int(rng.integers(part.num_classes))
    easy = index % 5 < EASY_OF_FIVE
    plane = part.draw(label, rng, size)
    background = scenes.draw(seed, rng, size, plain=easy)
    if part.name == "textures":
        region = _ragged_region(rng, size)[..., None]
        image = background + (shaded(plane, rng) - background) * region
    else:
        image = _blended(background, plane, _ink_colour(rng, size, plane), rng)
    first_label = sum(earlier.num_classes for earlier in PARTS[:chosen])
    return _finished(image, rng, noisy=not easy), first_label + label


def draw(seed: int, indices: range, size: int) -> tuple[Images, Labels]:
    """Draw images by their indices.

    Args:
        seed: Names the stream; the same index of another seed is another image.
        indices: Which images of the stream.
        size: Side of the images, in pixels.

    Returns:
        `(n, size, size, 3)` uint8 RGB and `(n,)` int32 labels in [0, `num_classes()`).
    """
    images = np.empty((len(indices), size, size, 3), np.uint8)
    labels = np.empty(len(indices), np.int32)
    for row, index in enumerate(indices):
        images[row], labels[row] = draw_one(seed, index, size)
    return images, labels
