"""Characters of an invented alphabet: a class is a few curved strokes, an image is one hand that writes them.

Source:
    Strokes as the parts of characters: Lake, Salakhutdinov and Tenenbaum 2015, Human-level concept learning.
"""

from functools import cache

import numpy as np
from PIL import Image, ImageDraw

from pretraining.formula.ink import EXTENT, FIELD_PIXELS, distance_field, inked
from pretraining.formula.warping import Plane, resampler

NUM_CLASSES = 16
NUM_HANDS = 12
ALPHABET_SEED = 20150


def _skeleton(label: int) -> list[np.ndarray]:
    """Return the control points of a class: 1 to 3 strokes, each `(k, 2)` in [-1, 1]."""
    rng = np.random.default_rng((ALPHABET_SEED, label))
    strokes = []
    for _ in range(int(rng.integers(1, 4))):
        points = rng.uniform(-1.0, 1.0, (int(rng.integers(3, 6)), 2))
        if rng.random() < 0.3:
            points = np.concatenate([points, points[:1]])
        strokes.append(points)
    return strokes


@cache
def _field(label: int, hand: int) -> Plane:
    rng = np.random.default_rng((ALPHABET_SEED, label, hand))
    curves = []
    for points in _skeleton(label):
        moved = points + rng.normal(0.0, 0.09, points.shape)
        curves.append(resampler(48, len(moved)).astype(np.float64) @ moved)
    everything = np.concatenate(curves)
    low, high = everything.min(0), everything.max(0)
    scale = 2 * EXTENT / (high - low).max()
    canvas = Image.new("L", (FIELD_PIXELS, FIELD_PIXELS))
    pen = ImageDraw.Draw(canvas)
    for curve in curves:
        pixels = ((curve - (low + high) / 2) * scale + 1.0) * (FIELD_PIXELS / 2)
        pen.line([(float(x), float(y)) for x, y in pixels], fill=255, width=1)
    return distance_field(np.asarray(canvas) > 0, signed=False)


def draw(label: int, rng: np.random.Generator, size: int) -> Plane:
    """Draw one invented character: ink `(size, size)` float32 in [0, 1]."""
    field = _field(label, int(rng.integers(NUM_HANDS)))
    return inked(field, rng, size, thinnest=0.025, thickest=0.085)
