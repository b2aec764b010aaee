"""Closed contours made of waves on a circle: a class is a pair of frequencies, an image nests a few of them.

Source:
    Visual Atoms: Takashima et al. 2023, Pre-training Vision Transformers with Sinusoidal Waves.
"""

from functools import lru_cache

import numpy as np
from PIL import Image, ImageDraw

from pretraining.formula.warping import Plane

FREQUENCIES = ((0, 2), (0, 3), (0, 4), (0, 6), (2, 5), (3, 4), (3, 9), (2, 12))
NUM_CLASSES = len(FREQUENCIES)
NUM_ANGLES = 96
SUPERSAMPLING = 2


@lru_cache(maxsize=1)
def _angles() -> np.ndarray:
    return np.linspace(0.0, 2 * np.pi, NUM_ANGLES, endpoint=False)


def draw(label: int, rng: np.random.Generator, size: int) -> Plane:
    """Draw nested contours of one class: ink `(size, size)` float32 in [0, 1]."""
    slow, fast = FREQUENCIES[label]
    angles = _angles()
    slow_phase, fast_phase, turn = rng.uniform(0.0, 2 * np.pi, 3)
    radius = 1.0 + rng.uniform(0.13, 0.24) * np.sin(fast * angles + fast_phase)
    if slow > 0:
        radius = radius + rng.uniform(0.15, 0.28) * np.sin(slow * angles + slow_phase)
    stretch = np.exp(rng.uniform(-0.25, 0.25))
    shape = np.stack([radius * np.cos(angles + turn) * stretch, radius * np.sin(angles + turn) / stretch], axis=1)
    side = size * SUPERSAMPLING
    canvas = Image.new("L", (side, side))
    pen = ImageDraw.Draw(canvas)
    centre = side * (0.5 + rng.uniform(-0.07, 0.07, 2))
    reach = side * rng.uniform(0.24, 0.34)
    num_rings = int(rng.integers(1, 5))
    for ring in range(num_rings):
        points = [(float(x), float(y)) for x, y in centre + shape * (reach * (1.0 - ring / num_rings))]
        if ring == 0 and rng.random() < 0.4:
            pen.polygon(points, fill=int(rng.integers(90, 200)))
        pen.line([*points, points[0]], fill=255, width=int(rng.integers(2, 8)), joint="curve")
    small = canvas.resize((size, size), Image.Resampling.BOX)
    return np.asarray(small, dtype=np.float32) / np.float32(255.0)
