"""Fractals of iterated function systems: a class is a system, an image is one of its perturbed renderings.

Source:
    FractalDB: Kataoka et al. 2020, Pre-training without Natural Images.
    Sampling systems by their singular values: Anderson and Farrell 2022, Improving Fractal Pre-training.
"""

from functools import cache

import numpy as np
from scipy.ndimage import gaussian_filter

from pretraining.formula.warping import Plane, random_pose, sample, smooth_noise

NUM_CLASSES = 8
NUM_VARIANTS = 16
SYSTEM_SEED = 20200
RENDER_PIXELS = 96
NUM_POINTS = 3000
NUM_ITERATIONS = 40
BURN_IN = 12


def _rotation(angle: float) -> np.ndarray:
    return np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])


def sample_system(rng: np.random.Generator) -> np.ndarray:
    """Draw an iterated function system: maps `(n, 2, 3)`, each a contraction and a shift.

    Each matrix is rotation x singular values x rotation x reflection. The sum of the weighted singular values
    lies in the band that Anderson and Farrell report as giving good geometry: (5 + n) / 2 to (6 + n) / 2.
    """
    num_maps = int(rng.integers(2, 5))
    target = rng.uniform(0.5 * (5 + num_maps), 0.5 * (6 + num_maps))
    while True:
        values = np.sort(rng.uniform(0.1, 1.0, (num_maps, 2)), axis=1)[:, ::-1]
        weighted = (values[:, 0] + 2 * values[:, 1]).sum()
        values = values * (target / weighted)
        if values.max() < 0.98:
            break
    maps = np.empty((num_maps, 2, 3))
    for index in range(num_maps):
        first, second = (_rotation(angle) for angle in rng.uniform(-np.pi, np.pi, 2))
        maps[index, :, :2] = first @ np.diag(values[index]) @ second @ np.diag(rng.choice([-1.0, 1.0], 2))
        maps[index, :, 2] = rng.uniform(-1.0, 1.0, 2)
    return maps


def render(maps: np.ndarray, rng: np.random.Generator, size: int) -> Plane:
    """Play the chaos game with many points at once; returns density `(size, size)` float32 in [0, 1]."""
    weights = np.abs(np.linalg.det(maps[:, :, :2])) + 1e-2
    points = np.zeros((NUM_POINTS, 2))
    visited = []
    for step in range(NUM_ITERATIONS):
        chosen = maps[rng.choice(len(maps), NUM_POINTS, p=weights / weights.sum())]
        points = (chosen[:, :, :2] @ points[:, :, None])[:, :, 0] + chosen[:, :, 2]
        if step >= BURN_IN:
            visited.append(points)
    cloud = np.concatenate(visited)
    low, high = np.quantile(cloud, [0.005, 0.995], axis=0)
    scaled = (cloud - (low + high) / 2) / max(float((high - low).max()), 1e-6) * 1.7
    counts, _, _ = np.histogram2d(scaled[:, 0], scaled[:, 1], bins=size, range=[[-1, 1], [-1, 1]])
    density = np.log1p(gaussian_filter(counts, 0.8))
    return (density / max(float(density.max()), 1e-6)).astype(np.float32)


@cache
def _rendering(label: int, variant: int) -> Plane:
    maps = sample_system(np.random.default_rng((SYSTEM_SEED, label)))
    rng = np.random.default_rng((SYSTEM_SEED, label, variant))
    perturbed = maps * rng.uniform(0.92, 1.03, maps.shape)
    return render(perturbed, rng, RENDER_PIXELS)


def draw(label: int, rng: np.random.Generator, size: int) -> Plane:
    """Draw one fractal of a class: density `(size, size)` float32 in [0, 1]."""
    field = _rendering(label, int(rng.integers(NUM_VARIANTS)))
    pose = random_pose(rng, low=0.8, high=1.2, rotate_degrees=30, shift=0.15)
    displacement = np.stack([smooth_noise(rng, size, 4), smooth_noise(rng, size, 4)]) * 0.03
    density = sample(field, pose, size, displacement)
    return np.clip(density * np.float32(rng.uniform(1.2, 2.5)), 0.0, 1.0)
