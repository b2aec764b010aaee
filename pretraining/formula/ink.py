"""Draw a character from its distance field: thin or thick, sharp or soft, warped, sometimes coarse.

A distance field holds, at every point, the distance to the character, so that one field gives every thickness.
"""

import numpy as np
from scipy.ndimage import distance_transform_edt

from pretraining.formula.warping import Plane, random_pose, resampler, sample, smooth_noise

FIELD_PIXELS = 96
EXTENT = 0.7
"""Half the longer side of a character's bounding box, in units of the field."""


def distance_field(ink: np.ndarray, *, signed: bool) -> Plane:
    """Return distances `(n, n)` float32 to the ink `(n, n)` bool, in units of half the side.

    Signed distances are negative inside; unsigned ones are 0 on the ink.
    """
    unit = 2.0 / ink.shape[0]
    outside = distance_transform_edt(~ink)
    field = outside - distance_transform_edt(ink) if signed else outside
    return (field * unit).astype(np.float32)


def _neighbours(ink: np.ndarray) -> np.ndarray:
    """Return the 8 neighbours `(8, n, n)` uint8, clockwise from north."""
    padded = np.pad(ink, 1).astype(np.uint8)
    n = ink.shape[0]
    steps = ((0, 1), (0, 2), (1, 2), (2, 2), (2, 1), (2, 0), (1, 0), (0, 0))
    return np.stack([padded[row : row + n, column : column + n] for row, column in steps])


def thinned(ink: np.ndarray) -> np.ndarray:
    """Thin `(n, n)` bool ink to lines one pixel wide.

    Source:
        Zhang and Suen 1984, A Fast Parallel Algorithm for Thinning Digital Patterns.
    """
    ink = ink.copy()
    removed_before = True
    for step in range(2 * ink.shape[0]):
        around = _neighbours(ink)
        north, _, east, _, south, _, west, _ = around
        count = around.sum(0)
        turns = ((around == 0) & (np.roll(around, -1, axis=0) == 1)).sum(0)
        if step % 2 == 0:
            open_side = (north * east * south == 0) & (east * south * west == 0)
        else:
            open_side = (north * east * west == 0) & (north * south * west == 0)
        removed = ink & (count >= 2) & (count <= 6) & (turns == 1) & open_side
        if not removed.any() and not removed_before:
            break
        ink &= ~removed
        removed_before = bool(removed.any())
    return ink


def inked(field: Plane, rng: np.random.Generator, size: int, *, thinnest: float, thickest: float) -> Plane:
    """Draw a character large, in a random hand.

    Args:
        field: Distances, from `distance_field`.
        rng: Draws pose, warp, thickness, softness and coarseness.
        size: Side of the result, in pixels.
        thinnest: Smallest offset of the stroke's edge from the field's zero, as a share of the side.
        thickest: Largest such offset.

    Returns:
        Ink `(size, size)` float32 in [0, 1].
    """
    pose = random_pose(rng, low=0.95, high=1.35, rotate_degrees=14, shift=0.12)
    strength = float(rng.uniform(0.0, 0.07))
    displacement = np.stack([smooth_noise(rng, size, 5), smooth_noise(rng, size, 5)]) * strength
    distance = sample(field, pose, size, displacement) * (pose.scale / 2)
    edge = rng.uniform(thinnest, thickest) * (1.0 + 0.2 * smooth_noise(rng, size, 4))
    softness = float(np.exp(rng.uniform(np.log(0.02), np.log(0.09))))
    ink = np.clip(0.5 + (edge - distance) / softness, 0.0, 1.0)
    if rng.random() < 0.4:
        coarse = int(rng.integers(8, 15))
        through = resampler(size, coarse) @ resampler(coarse, size)
        ink = np.clip(through @ ink @ through.T, 0.0, 1.0)
    drawn: Plane = ink.astype(np.float32)
    return drawn
