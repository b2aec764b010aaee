"""Benchmarks whose truth is known: right and wrong of cells, by seed and image, and what is measured of them.

A probit model. An image is hard for all seeds of a cell in part (`agreement`), and of that in part for all cells
(`SHARED`); a seed makes a model better or worse everywhere (`sd_of_seeds`). The latent value has variance 1 before the
seeds, so that a standard deviation of 0.035 between seeds is 0.8 points of accuracy at an accuracy of 0.85.
"""

from collections.abc import Sequence

import numpy as np
from scipy import stats

from backbench.comparison.resampling import Resampled, group_counts, image_counts

SHARED = 0.8
SD_OF_SEEDS = 0.035


def seed_effects(
    random: np.random.Generator, num_cells: int, num_seeds: int, sd_of_seeds: float = SD_OF_SEEDS
) -> np.ndarray:
    """Draw what each seed of each cell is worth, `(num_cells, num_seeds)`: the same on every split."""
    return sd_of_seeds * random.normal(size=(num_cells, num_seeds))


def drawn_cells(
    random: np.random.Generator,
    accuracies: Sequence[float],
    effects: np.ndarray,
    num_images: int,
    *,
    agreement: float = 0.5,
    sd_of_seeds: float = SD_OF_SEEDS,
    groups: np.ndarray | None = None,
    within: float = 0.5,
) -> np.ndarray:
    """Draw right and wrong on one split, float64 `(num_cells, num_seeds, num_images)`.

    Of what makes an image hard, images of one of `groups`, int `(num_images,)`, have the share `within` in common.

    An accuracy is the one expected over images and seeds: the normal distribution function at the mean over the total
    deviation.
    """
    num_cells, num_seeds = effects.shape
    of_image = np.sqrt(SHARED) * _hardness(random, 1, num_images, groups, within)
    of_cell = np.sqrt(1 - SHARED) * _hardness(random, num_cells, num_images, groups, within)
    latent = np.sqrt(agreement) * (of_image + of_cell)
    latent = latent + np.sqrt(1 - agreement) * random.normal(size=(num_cells, num_seeds, num_images))
    mean = stats.norm.ppf(accuracies) * np.sqrt(1 + sd_of_seeds**2)
    return np.asarray(mean[:, None, None] + effects[:, :, None] + latent > 0, dtype=np.float64)


def _hardness(
    random: np.random.Generator, num_cells: int, num_images: int, groups: np.ndarray | None, within: float
) -> np.ndarray:
    of_image = random.normal(size=(num_cells, 1, num_images))
    if groups is None:
        return of_image
    of_group = random.normal(size=(num_cells, 1, int(groups.max()) + 1))[..., groups]
    return np.asarray(np.sqrt(within) * of_group + np.sqrt(1 - within) * of_image)


def counts_of(num_images: int, num_resamples: int) -> np.ndarray:
    """Return how often each image is drawn, `(num_resamples, num_images)`."""
    return np.concatenate(list(image_counts(num_images, num_resamples)))


def measured(correct: np.ndarray, counts: np.ndarray) -> Resampled:
    """Return the accuracy of one cell, `(num_seeds, num_images)` right and wrong, under the resamples of `counts`."""
    num_images = correct.shape[1]
    return Resampled(correct.mean(axis=1), counts @ correct.T / num_images, num_images, num_images)


def measured_in_groups(correct: np.ndarray, groups: np.ndarray, num_resamples: int) -> Resampled:
    """Return the accuracy of one cell under resamples of groups, int `(num_images,)`, as `resample` would."""
    counts = np.concatenate(list(group_counts(groups, num_resamples)))
    sizes = np.bincount(groups)
    resampled = counts @ correct.T / counts.sum(axis=1, keepdims=True)
    num_alike = len(groups) ** 2 / np.sum(sizes**2)
    return Resampled(correct.mean(axis=1), resampled, len(groups), num_alike, len(sizes))
