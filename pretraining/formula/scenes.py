"""Cluttered colour scenes to draw a shape over: overlapping patches with textures, clouds, plain gradients.

A pool of wide scenes is drawn once per seed; an image crops, mirrors and recolours one of them.

Source:
    Overlapping patches of power-law size have the statistics of photographs ("dead leaves"):
    Lee, Mumford and Huang 2001, Occlusion Models for Natural Images. As source: Baradad et al. 2021.
"""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from pretraining.formula import fractals, textures
from pretraining.formula.warping import Plane, grid

NUM_SCENES = 240
SCENE_PIXELS = 192
POOL_STREAM = 7001

Colours = NDArray[np.float32]


def shaded(plane: Plane, rng: np.random.Generator) -> Colours:
    """Colour a plane `(n, n)` in [0, 1] between three random colours: `(n, n, 3)` in [0, 1]."""
    first, middle, last = rng.uniform(0.0, 1.0, (3, 3)).astype(np.float32)
    rising = plane[..., None]
    return np.where(rising < 0.5, first + (middle - first) * 2 * rising, middle + (last - middle) * (2 * rising - 1))


def _cloudy(rng: np.random.Generator) -> Colours:
    """Mix three clouds into correlated channels, more light than hue, as in photographs."""
    clouds = np.stack([textures.spectral_noise(rng, SCENE_PIXELS, rng.uniform(0.9, 1.7)) for _ in range(3)], axis=-1)
    mixing = np.full((3, 3), 0.0) + rng.normal(0.0, 0.35, (3, 3))
    mixing[0] += rng.uniform(0.4, 1.0)
    mixed = (clouds - 0.5) @ mixing + rng.uniform(0.25, 0.75, 3)
    return np.clip(mixed, 0.0, 1.0).astype(np.float32)


def _textured(rng: np.random.Generator) -> Colours:
    plane = textures.draw(int(rng.integers(len(textures.TEXTURES))), rng, SCENE_PIXELS)
    return shaded(plane, rng)


def _outline(rng: np.random.Generator, radius: float) -> list[tuple[float, float]]:
    """Return a random convex or star-like patch about a random centre, in pixels."""
    count = int(rng.choice([3, 4, 4, 5, 8, 24]))
    angles = np.sort(rng.uniform(0.0, 2 * np.pi, count)) if count < 24 else np.linspace(0.0, 2 * np.pi, 24)
    radii = radius * rng.uniform(0.75, 1.25, count) if count < 24 else np.full(24, radius)
    stretch = np.exp(rng.uniform(-0.6, 0.6))
    centre = rng.uniform(-0.1, 1.1, 2) * SCENE_PIXELS
    return [
        (float(centre[0] + r * np.cos(a) * stretch), float(centre[1] + r * np.sin(a) / stretch))
        for r, a in zip(radii, angles, strict=True)
    ]


def _leaves(rng: np.random.Generator) -> Colours:
    """Overlap patches whose radii follow a power law; some are textured instead of plain."""
    base = _cloudy(rng) if rng.random() < 0.6 else _textured(rng)
    canvas = Image.fromarray((base * 255).astype(np.uint8))
    sheets = [Image.fromarray((_textured(rng) * 255).astype(np.uint8)) for _ in range(3)]
    sheets += [Image.fromarray((_cloudy(rng) * 255).astype(np.uint8)) for _ in range(2)]
    smallest, largest = 5.0, 60.0
    for _ in range(int(rng.integers(12, 90))):
        # Inverse of the cumulative distribution of a density that falls as radius ** -3.
        radius = (smallest**-2 - rng.random() * (smallest**-2 - largest**-2)) ** -0.5
        points = _outline(rng, float(radius * 1.6))
        if rng.random() < 0.5:
            colour = tuple(int(value) for value in rng.integers(0, 256, 3))
            ImageDraw.Draw(canvas).polygon(points, fill=colour)
        else:
            stencil = Image.new("L", canvas.size)
            ImageDraw.Draw(stencil).polygon(points, fill=255)
            canvas.paste(sheets[int(rng.integers(len(sheets)))], (0, 0), stencil)
    return np.asarray(canvas, dtype=np.float32) / np.float32(255.0)


def _fractal(rng: np.random.Generator) -> Colours:
    """Lay renderings of unseen fractals over a cloud."""
    base = _cloudy(rng)
    for _ in range(2):
        density = fractals.render(fractals.sample_system(rng), rng, SCENE_PIXELS)[..., None]
        base = base + (shaded(density[..., 0], rng) - base) * np.clip(density * 2.5, 0.0, 1.0)
    return base


@lru_cache(maxsize=4)
def _pool(seed: int) -> tuple[Image.Image, ...]:
    scenes = []
    for index in range(NUM_SCENES):
        rng = np.random.default_rng((seed, POOL_STREAM, index))
        makers = (_leaves, _leaves, _leaves, _cloudy, _cloudy, _textured, _fractal)
        scene = makers[index % len(makers)](rng)
        scenes.append(Image.fromarray((scene * 255).astype(np.uint8)))
    return tuple(scenes)


def _plain(rng: np.random.Generator, size: int) -> Colours:
    start, end = rng.uniform(0.0, 1.0, (2, 3)).astype(np.float32)
    rows, columns = grid(size)
    angle = rng.uniform(0.0, 2 * np.pi)
    rising = (0.5 + 0.35 * (rows * np.cos(angle) + columns * np.sin(angle)))[..., None]
    faint = rng.uniform(0.0, 1.0)
    return (start + (end - start) * rising * faint).astype(np.float32)


def draw(seed: int, rng: np.random.Generator, size: int, *, plain: bool) -> Colours:
    """Draw a background `(size, size, 3)` float32 in [0, 1], about.

    Args:
        seed: Names the pool of scenes.
        rng: Chooses the scene, the crop, the mirroring and the colours.
        size: Side, in pixels.
        plain: Draw a gradient instead of clutter.
    """
    if plain:
        return _plain(rng, size)
    pool = _pool(seed)
    scene = pool[int(rng.integers(len(pool)))]
    side = float(rng.uniform(56.0, 150.0))
    left, top = rng.uniform(0.0, SCENE_PIXELS - side, 2)
    crop = scene.resize((size, size), Image.Resampling.BILINEAR, box=(left, top, left + side, top + side))
    if rng.random() < 0.5:
        crop = crop.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    colours = np.asarray(crop, dtype=np.float32) / np.float32(255.0)
    mixing = np.eye(3) * rng.uniform(0.4, 1.0) + rng.uniform(-0.1, 0.35, (3, 3)) * rng.uniform(0.0, 1.0)
    mixed: Colours = colours @ mixing.astype(np.float32)
    if rng.random() < 0.6:
        # Photographs are duller than random colours.
        grey = mixed.mean(-1, keepdims=True)
        mixed = grey + (mixed - grey) * np.float32(rng.uniform(0.1, 0.7))
    return mixed + np.float32(rng.uniform(-0.1, 0.2))
