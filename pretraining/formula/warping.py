"""Where a shape lies in its image: a random affine pose and a smooth elastic displacement.

Source:
    Elastic distortion: Simard, Steinkraus and Platt 2003, Best Practices for Convolutional Neural Networks.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import map_coordinates

Plane = NDArray[np.float32]


@dataclass(frozen=True)
class Pose:
    """An inverse affine map, from image coordinates in [-1, 1] to shape coordinates, and its scale.

    `matrix` is `(2, 2)`, `shift` is `(2,)`; `scale` is the length in the image of one unit of the shape.
    """

    matrix: Plane
    shift: Plane
    scale: float


@lru_cache(maxsize=64)
def resampler(num_out: int, num_in: int) -> Plane:
    """Return the matrix `(num_out, num_in)` of bicubic resizing, smoothed where it shrinks."""
    identity = Image.fromarray(np.eye(num_in, dtype=np.float32))
    return np.asarray(identity.resize((num_in, num_out), Image.Resampling.BICUBIC), dtype=np.float32)


@lru_cache(maxsize=8)
def grid(size: int) -> Plane:
    """Return pixel centres `(2, size, size)`, rows then columns, in [-1, 1]."""
    ticks = (np.arange(size, dtype=np.float32) + 0.5) * (2.0 / size) - 1.0
    return np.stack(np.meshgrid(ticks, ticks, indexing="ij"))


def smooth_noise(rng: np.random.Generator, size: int, knots: int) -> Plane:
    """Draw a smooth plane `(size, size)`, about standard normal, from `knots` x `knots` values."""
    up = resampler(size, knots)
    # NumPy's own annotations forget the float32 of a product.
    plane: Plane = up @ rng.standard_normal((knots, knots), dtype=np.float32) @ up.T  # type: ignore[assignment]
    return plane


def random_pose(
    rng: np.random.Generator, *, low: float, high: float, rotate_degrees: float, shift: float, stretch: float = 0.2
) -> Pose:
    """Draw a pose: scale in [`low`, `high`], rotation, shear, unequal axes and a shift (share of the half side)."""
    scale = float(rng.uniform(low, high))
    angle = np.deg2rad(rng.uniform(-rotate_degrees, rotate_degrees))
    ratio = float(np.exp(rng.uniform(-stretch, stretch)))
    slant = float(rng.uniform(-stretch, stretch))
    rotation = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    forward = rotation @ np.array([[1.0, 0.0], [slant, 1.0]]) @ np.diag([1.0 * ratio**0.5, 1.0 / ratio**0.5]) * scale
    offset = rng.uniform(-shift, shift, 2)
    return Pose(np.linalg.inv(forward).astype(np.float32), offset.astype(np.float32), scale)


def sample(field: Plane, pose: Pose, size: int, displacement: Plane | None = None) -> Plane:
    """Look a shape up under a pose.

    Args:
        field: `(n, n)`, covers [-1, 1] x [-1, 1] in the shape's own coordinates.
        pose: Where the shape lies.
        size: Side of the result, in pixels.
        displacement: `(2, size, size)` in units of the shape, added after the pose.

    Returns:
        `(size, size)` float32; outside the field its border continues.
    """
    centred = grid(size) - pose.shift[:, None, None]
    where = (pose.matrix @ centred.reshape(2, -1)).reshape(2, size, size)
    if displacement is not None:
        where = where + displacement
    side = field.shape[0]
    found: Plane = map_coordinates(field, (where + 1.0) * (side / 2) - 0.5, order=1, mode="nearest", output=np.float32)
    return found
