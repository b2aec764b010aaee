"""What pictures are compared by: a small grey sketch of each, and a perceptual hash of that."""

import numpy as np
from imagehash import phash
from PIL import Image

SIDE = 32
# Where less of a sketch varies, such as an empty plate or one edge, different pictures look alike.
TILE, LEAST_LEVELS, LEAST_DETAIL = 4, 2.0, 0.25


def sketch_of(picture: Image.Image) -> np.ndarray:
    """Shrink a whole RGB picture to uint8 grey `(SIDE, SIDE)`, whatever its proportions."""
    grey = picture.convert("L")
    return np.asarray(grey.resize((SIDE, SIDE), Image.Resampling.LANCZOS, reducing_gap=2.0))


def hashes_of(sketches: np.ndarray) -> np.ndarray:
    """Return the perceptual hashes uint64 `(n,)` of sketches uint8 `(n, SIDE, SIDE)`.

    Source:
        pHash as the package imagehash has it: which of the 64 lowest frequencies lie above their median.
    """
    bits = [phash(Image.fromarray(sketch)).hash.ravel() for sketch in sketches]
    return np.packbits(np.reshape(bits, (-1, 64)), axis=1).view(np.uint64).ravel()


def have_detail(sketches: np.ndarray) -> np.ndarray:
    """Say, bool `(n,)`, in which sketches enough tiles vary for likeness to mean anything."""
    tiles = sketches.reshape(len(sketches), SIDE // TILE, TILE, SIDE // TILE, TILE)
    varies = tiles.std(axis=(2, 4), dtype=np.float32) >= LEAST_LEVELS
    return varies.mean(axis=(1, 2)) >= LEAST_DETAIL
