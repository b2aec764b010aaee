"""Procedural textures, as clutter behind a shape and as classes of their own.

Source:
    Noise as a source of images: Baradad et al. 2021, Learning to See by Looking at Noise.
    Value noise and turbulence: Perlin 1985, An Image Synthesizer. Cells: Worley 1996.
"""

from collections.abc import Callable

import numpy as np

from pretraining.formula.warping import Plane, grid, smooth_noise

Texture = Callable[[np.random.Generator, int], np.ndarray]


def spectral_noise(rng: np.random.Generator, size: int, exponent: float) -> Plane:
    """Draw noise whose amplitude falls as 1 / frequency ** exponent, as in photographs: `(size, size)` in [0, 1]."""
    rows = np.fft.fftfreq(size)[:, None]
    columns = np.fft.rfftfreq(size)[None, :]
    frequency = np.hypot(rows, columns)
    frequency[0, 0] = 1.0
    spectrum = rng.standard_normal(frequency.shape) + 1j * rng.standard_normal(frequency.shape)
    spectrum = spectrum / frequency**exponent
    spectrum[0, 0] = 0.0
    return unit(np.fft.irfft2(spectrum, s=(size, size)))


def unit(plane: np.ndarray) -> Plane:
    """Scale a plane to [0, 1] about its 2nd and 98th percentile, and clip."""
    low, high = np.quantile(plane[::2, ::2], [0.02, 0.98])
    return np.clip((plane - low) / max(float(high - low), 1e-6), 0.0, 1.0).astype(np.float32)


def _turned(rng: np.random.Generator, size: int, bend: float = 0.06) -> np.ndarray:
    angle = rng.uniform(0.0, np.pi)
    rows, columns = grid(size)
    turned = np.stack([rows * np.cos(angle) - columns * np.sin(angle), rows * np.sin(angle) + columns * np.cos(angle)])
    return turned + bend * np.stack([smooth_noise(rng, size, 4), smooth_noise(rng, size, 4)])


def _cells(rng: np.random.Generator, size: int, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the distances to the nearest and second nearest of random points."""
    points = rng.uniform(-1.1, 1.1, (count, 2)).astype(np.float32)
    rows, columns = grid(size)
    squares = (rows[None] - points[:, 0, None, None]) ** 2 + (columns[None] - points[:, 1, None, None]) ** 2
    two = np.sqrt(np.partition(squares, 1, axis=0)[:2])
    return two[0], two[1]


def _stripes(low: float, high: float, power: float) -> Texture:
    def texture(rng: np.random.Generator, size: int) -> np.ndarray:
        across = _turned(rng, size)[0] * rng.uniform(low, high) + rng.uniform(0, 6.3)
        wave: np.ndarray = np.sin(across)
        return np.sign(wave) * np.abs(wave) ** power

    return texture


def _checks(rng: np.random.Generator, size: int) -> np.ndarray:
    first, second = _turned(rng, size) * rng.uniform(7, 15)
    checks: np.ndarray = np.sign(np.sin(first)) * np.sign(np.sin(second))
    return checks


def _dots(rng: np.random.Generator, size: int) -> np.ndarray:
    first, second = _turned(rng, size) * rng.uniform(9, 18)
    return np.clip(np.sin(first) + np.sin(second) - 0.6, 0.0, 0.6)


def _mesh(rng: np.random.Generator, size: int) -> np.ndarray:
    first, second = _turned(rng, size) * rng.uniform(9, 18)
    mesh: np.ndarray = np.maximum(np.abs(np.sin(first)), np.abs(np.sin(second))) ** 6
    return mesh


def _rings(rng: np.random.Generator, size: int) -> np.ndarray:
    rows, columns = _turned(rng, size) + rng.uniform(-0.5, 0.5, (2, 1, 1))
    rings: np.ndarray = np.sin(np.hypot(rows, columns) * rng.uniform(14, 26))
    return rings


def _rays(rng: np.random.Generator, size: int) -> np.ndarray:
    rows, columns = _turned(rng, size) + rng.uniform(-0.4, 0.4, (2, 1, 1))
    rays: np.ndarray = np.sin(np.arctan2(rows, columns) * int(rng.integers(6, 15)))
    return rays


def _cell_depth(rng: np.random.Generator, size: int) -> np.ndarray:
    return _cells(rng, size, int(rng.integers(14, 30)))[0]


def _cell_walls(rng: np.random.Generator, size: int) -> np.ndarray:
    nearest, second = _cells(rng, size, int(rng.integers(14, 30)))
    return np.clip((second - nearest) * 6.0, 0.0, 1.0)


def _patches(rng: np.random.Generator, size: int) -> np.ndarray:
    rough = smooth_noise(rng, size, int(rng.integers(7, 13)))
    patches: np.ndarray = np.tanh(rough * 6.0)
    return patches


def _marble(rng: np.random.Generator, size: int) -> np.ndarray:
    marble: np.ndarray = np.sin(_turned(rng, size, bend=0.35)[0] * rng.uniform(7, 12))
    return marble


def _gabors(rng: np.random.Generator, size: int) -> np.ndarray:
    first, second = _turned(rng, size)
    envelope = np.tanh(smooth_noise(rng, size, 6) * 2)
    gabors: np.ndarray = envelope * np.sin(first * rng.uniform(18, 30) + second)
    return gabors


def _bricks(rng: np.random.Generator, size: int) -> np.ndarray:
    rows, columns = _turned(rng, size, bend=0.03) * rng.uniform(3.0, 5.5)
    courses = np.floor(rows)
    across = columns * 0.5 + 0.5 * (courses % 2)
    mortar = (rows - courses < 0.16) | (across - np.floor(across) < 0.09)
    return np.where(mortar, -1.0, 1.0)


def _cloud(exponent: float) -> Texture:
    return lambda rng, size: spectral_noise(rng, size, exponent)


TEXTURES: tuple[Texture, ...] = (
    *(_stripes(7, 12, 1.0), _stripes(20, 30, 1.0), _stripes(10, 18, 0.1)),
    *(_checks, _dots, _mesh, _rings, _rays, _cell_depth, _cell_walls, _patches, _marble, _gabors, _bricks),
    *(_cloud(1.6), _cloud(0.5)),
)
NUM_CLASSES = 10
"""Textures that are classes: the first of `TEXTURES`; the others are seen as clutter only."""


def draw(label: int, rng: np.random.Generator, size: int) -> Plane:
    """Draw one texture of a class: `(size, size)` float32 in [0, 1]."""
    return unit(TEXTURES[label](rng, size))
