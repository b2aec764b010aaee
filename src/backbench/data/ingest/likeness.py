"""How alike two sketches are once one of them is laid over the other, as a crop of a picture lies over the picture."""

import numpy as np

# The least squares see coarse sketches first, so that fine texture does not catch them.
COARSE_TO_FINE = (2, 1)
STEPS = 2
# Of half a side: a tenth of a side cropped away moves and shrinks by so much, and a little more is left for error.
MOST_SHIFT = 0.12
TILE = 8
# Keeps the equations solvable where a sketch has no gradient in some direction; next to nothing elsewhere.
RIDGE = 1e-3


def likeness(some: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Return how alike pairs of sketches are, float64 `(n,)` of at most 1.

    `some` and `others` are `(n, side, side)`. Of each pair one is laid over the other by least squares, moved and
    scaled along both axes; the better of both ways counts. What is compared then is what each tile has of its own:
    the correlation without the means of tiles, so that a common outline or shade alone makes no likeness.
    """
    one, other = some.astype(np.float64), others.astype(np.float64)
    return np.maximum(_one_way(one, other), _one_way(other, one))


def _one_way(moving: np.ndarray, fixed: np.ndarray) -> np.ndarray:
    warp = np.zeros((len(moving), 2, 2))  # of y and x: the scale beyond 1, and the shift
    for size in COARSE_TO_FINE:
        coarse, target = _shrunk(moving, size), _shrunk(fixed, size)
        for _ in range(STEPS):
            warp = np.clip(warp + _step(_warped(coarse, warp), target), -MOST_SHIFT, MOST_SHIFT)
    return _correlation(_within_tiles(_warped(moving, warp)), _within_tiles(fixed))


def _shrunk(sketches: np.ndarray, size: int) -> np.ndarray:
    number, side, _ = sketches.shape
    return sketches.reshape(number, side // size, size, side // size, size).mean(axis=(2, 4))


def _places(side: int) -> np.ndarray:
    """Return the middles of pixels as from -1 to 1."""
    return (np.arange(side) + 0.5) / side * 2 - 1


def _warped(sketches: np.ndarray, warp: np.ndarray) -> np.ndarray:
    """Sample each sketch at its scaled and moved places, linearly; beyond its border the border goes on."""
    side = sketches.shape[1]
    places = (_places(side) * (1 + warp[:, :, :1]) + warp[:, :, 1:] + 1) / 2 * side - 0.5
    places = np.clip(places, 0, side - 1)
    low = np.minimum(places.astype(int), side - 2)
    (y, x), (down, right) = np.moveaxis(low, 1, 0), np.moveaxis(places - low, 1, 0)
    rows, columns, each = y[:, :, None], x[:, None, :], np.arange(len(sketches))[:, None, None]
    down, right = down[:, :, None], right[:, None, :]
    upper = sketches[each, rows, columns] * (1 - right) + sketches[each, rows, columns + 1] * right
    lower = sketches[each, rows + 1, columns] * (1 - right) + sketches[each, rows + 1, columns + 1] * right
    return np.asarray(upper * (1 - down) + lower * down)


def _step(warped: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Return the change of scales and shifts that brings each sketch closer to its target, contrast and shade aside.

    Source:
        Gauss and Newton's step, as Lucas and Kanade (1981) take it to register images.
    """
    number, side, _ = warped.shape
    places = _places(side)
    by_y, by_x = np.gradient(warped, 2 / side, axis=(1, 2))
    moves = [by_y * places[:, None], by_y, by_x * places, by_x, warped, np.ones_like(warped)]
    columns = np.stack(moves, axis=-1).reshape(number, side * side, len(moves))
    rows = columns.transpose(0, 2, 1)
    solved = np.linalg.solve(
        rows @ columns + RIDGE * np.eye(len(moves)), rows @ target.reshape(number, side * side, 1)
    )[..., 0]
    contrast = solved[:, 4]
    contrast = np.where(np.abs(contrast) < 0.2, 1, contrast)
    return (solved[:, :4] / contrast[:, None]).reshape(number, 2, 2)


def _within_tiles(sketches: np.ndarray) -> np.ndarray:
    number, side, _ = sketches.shape
    tiles = sketches.reshape(number, side // TILE, TILE, side // TILE, TILE)
    return (tiles - tiles.mean(axis=(2, 4), keepdims=True)).reshape(sketches.shape)


def _correlation(some: np.ndarray, others: np.ndarray) -> np.ndarray:
    products = [(one * other).sum(axis=(1, 2)) for one, other in ((some, others), (some, some), (others, others))]
    return np.asarray(products[0] / np.sqrt(products[1] * products[2] + RIDGE))
