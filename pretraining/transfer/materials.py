"""Ten regular and irregular surface patterns, none of which the source task of the formula weights draws.

Each function maps coordinates `(2, n, n)`, whose unit is about one element of the pattern, to a height
`(n, n)` in about [0, 1]; its generator decides what differs between two pieces of the same material.

Source:
    Tiles and hashes per tile: Worley 1996, A Cellular Texture Basis Function; Ebert et al. 2003, Texturing and
    Modeling. Arcs: Smith 1987, The Tiling Patterns of Sebastien Truchet. Ridges and grain: Perlin 1985, An Image
    Synthesizer; Musgrave in Ebert et al. Labyrinth: Turing 1952, The Chemical Basis of Morphogenesis, as
    thresholded band-pass noise.
"""

from collections.abc import Callable

import numpy as np
from scipy.ndimage import map_coordinates

Material = Callable[[np.ndarray, np.random.Generator], np.ndarray]
PERIOD = 64
HALF_HEIGHT = float(np.sqrt(3.0) / 2)
LABYRINTH_FREQUENCY = 5.0


def _per_tile(tile: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Give every tile `(2, n, n)` of whole numbers its own number in [0, 1)."""
    table = rng.random((PERIOD, PERIOD))
    rows, columns = tile.astype(np.int64) % PERIOD
    return np.asarray(table[rows, columns])


def _noise(where: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Look up smooth noise, one knot per unit, that repeats after `PERIOD` units: `(n, n)`, about standard normal."""
    knots = rng.standard_normal((PERIOD, PERIOD))
    return 1.6 * np.asarray(map_coordinates(knots, where, order=3, mode="grid-wrap", prefilter=False))


def _hexagons(where: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Tiles around the points of a triangular lattice, with joints."""
    rows, columns = where
    distances = []
    for shift in (0.0, 0.5):
        down = (rows / (2 * HALF_HEIGHT) + shift) % 1.0 - 0.5
        across = (columns + shift) % 1.0 - 0.5
        distances.append(np.stack([np.abs(across), np.abs(across) / 2 + np.abs(down) * 2 * HALF_HEIGHT * HALF_HEIGHT]))
    to_edge = 0.5 - np.minimum(*(pair.max(axis=0) for pair in distances))
    return np.clip(to_edge / rng.uniform(0.06, 0.22), 0.0, 1.0)


def _spiral(where: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Archimedes' spiral with one to three arms, either way round."""
    rows, columns = where + rng.uniform(-1.2, 1.2, (2, 1, 1))
    arms = int(rng.integers(1, 4)) * int(rng.choice([-1, 1]))
    wave = np.sin(2 * np.pi * np.hypot(rows, columns) + arms * np.arctan2(rows, columns))
    return 0.5 + 0.5 * np.tanh(wave * rng.uniform(0.7, 4.0))


def _herringbone(where: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Planks of 3 x 1 laid at right angles, each with its own shade."""
    rows, columns = np.floor(where * 1.7)
    down, across = where * 1.7 - np.stack([rows, columns])
    along_row, along_column = (columns - rows) % 6, (rows - columns - 1) % 6
    lying = along_row < 3
    along = np.where(lying, along_row + across, along_column + down)
    beside = np.where(lying, down, across)
    start = np.where(lying, np.stack([rows, columns - along_row]), np.stack([rows - along_column, columns]))
    shade = _per_tile(start, rng)
    joint = np.minimum(np.minimum(along, 3 - along), np.minimum(beside, 1 - beside))
    return np.clip(joint / 0.12, 0.0, 1.0) * (1.0 - rng.uniform(0.1, 0.5) * shade)


def _truchet(where: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Two quarter circles in every tile, turned at random, so that they join into winding paths."""
    tile = np.floor(where)
    rows, columns = where - tile
    rows = np.where(_per_tile(tile, rng) < 0.5, rows, 1.0 - rows)
    arc = np.minimum(np.abs(np.hypot(rows, columns) - 0.5), np.abs(np.hypot(1 - rows, 1 - columns) - 0.5))
    return np.clip((rng.uniform(0.1, 0.2) - arc) / 0.08 + 0.5, 0.0, 1.0)


def _basket_weave(where: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Blocks of rounded strands, lying and standing in turn."""
    where = where * 0.8
    tile = np.floor(where)
    rows, columns = where - tile
    lying = tile.sum(axis=0) % 2 == 0
    beside, along = np.where(lying, rows, columns), np.where(lying, columns, rows)
    strands = int(rng.integers(2, 4))
    round_strand: np.ndarray = np.abs(np.sin(np.pi * beside * strands))
    bulge: np.ndarray = np.sin(np.pi * along) ** 0.5
    return round_strand * (0.35 + 0.65 * bulge)


def _scales(where: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Rows of discs, each row over half of the one below it."""
    rows, columns = where
    height = np.full(rows.shape, -1.0)
    depth = rng.uniform(0.4, 0.55)
    for back in range(2, -1, -1):
        row = np.floor(rows / depth) - back
        across = (columns + 0.5 * (row % 2)) % 1.0 - 0.5
        reach = np.hypot(across, rows - row * depth) / 0.62
        height = np.where((reach < 1.0) & (rows >= row * depth), 1.0 - reach**3, height)
    return np.clip(height, 0.0, 1.0)


def _wood(where: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Year rings, cut lengthwise: contours of a long noise, with fine fibres along them."""
    rows, columns = where
    rings = 2.4 * _noise(np.stack([rows * 0.55, columns * 0.13]), rng) + rows * 0.9
    fibres = _noise(np.stack([rows * 8.0, columns * 0.7]), rng)
    sawtooth = (rings - np.floor(rings)) ** rng.uniform(1.0, 2.5)
    return 0.8 * sawtooth + 0.1 * fibres + 0.1


def _caustics(where: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Bright ridges where noise of two scales crosses zero, as light through moving water."""
    bent = where + 0.35 * np.stack([_noise(where, rng), _noise(where, rng)])
    ridge = 1.0 - np.abs(_noise(bent * 0.9, rng))
    fine = 1.0 - np.abs(_noise(bent * 1.9, rng))
    return np.clip(0.65 * ridge + 0.35 * fine, 0.0, 1.0) ** rng.uniform(2.0, 4.0)


def _labyrinth(where: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Worm-like walls of one width, as a chemical reaction leaves them: many plane waves of one wavelength."""
    angles = rng.uniform(0.0, 2 * np.pi, 24)
    lengths = LABYRINTH_FREQUENCY * rng.uniform(0.9, 1.1, 24)
    waves = np.stack([np.sin(angles), np.cos(angles)], axis=1) * lengths[:, None]
    phases = rng.uniform(0.0, 2 * np.pi, 24)
    total = np.cos(np.tensordot(waves, where, axes=1) + phases[:, None, None]).sum(axis=0) / np.sqrt(12.0)
    return 0.5 + 0.5 * np.tanh(total * rng.uniform(2.0, 6.0))


def _triangles(where: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Triangular tiles, each with its own flat shade."""
    down = where[0] / HALF_HEIGHT
    across = where[1] - 0.5 * down
    tile = np.floor(np.stack([down, across]))
    upper = (down - tile[0]) + (across - tile[1]) > 1.0
    return np.where(upper, _per_tile(tile, rng), _per_tile(tile, rng))


MATERIALS: tuple[Material, ...] = (
    *(_hexagons, _spiral, _herringbone, _truchet, _basket_weave),
    *(_scales, _wood, _caustics, _labyrinth, _triangles),
)
