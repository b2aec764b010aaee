"""Make `assets/photodigits/` and `assets/digits/`: real handwritten digits, over real photographs and plain.

Run once, from the repository's root: `python assets/make_photodigits.py`. It takes about ten seconds, needs no
network and always draws the same images; they are committed, and nothing else runs it.

Each digit of UCI's Optical Recognition set (8 x 8, as scikit-learn ships it) is enlarged smoothly under a mild random
affine. `digits` keeps it so. `photodigits` blends it per channel over a patch of a photograph, |patch - digit|, in the
manner of MNIST-M (Ganin et al. 2016, https://arxiv.org/abs/1505.07818). Patches of the train pool come from the left
half of each photograph, patches of the test split from the right half, so that no pixel of a background is shared.
"""

import math
import shutil
from pathlib import Path

import numpy as np
from PIL import Image
from sklearn.datasets import load_digits, load_sample_images

ASSETS = Path(__file__).parent
SEED = 20161005
SIDE_PIXELS = 64
TRAIN_PER_CLASS = 60
BRIGHTEST = 16.0
PADDING = 4
ENLARGEMENT = 6.4
MAX_ROTATION_DEGREES = 10.0
MAX_SHIFT_PIXELS = 4.0
SCALE_RANGE = (0.85, 1.1)
COLOUR_STEP = 8


def enlarged_digit(digit: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Enlarge one digit under a random affine, in one bicubic step.

    Args:
        digit: `(8, 8)`, from 0 (paper) to 16 (ink).
        random: Draws rotation, scale and shift.

    Returns:
        uint8 `(64, 64)`, ink is 255.
    """
    angle = math.radians(random.uniform(-MAX_ROTATION_DEGREES, MAX_ROTATION_DEGREES))
    step = 1 / (ENLARGEMENT * random.uniform(*SCALE_RANGE))
    shift = random.uniform(-MAX_SHIFT_PIXELS, MAX_SHIFT_PIXELS, size=2) + SIDE_PIXELS / 2
    cosine, sine, middle = step * math.cos(angle), step * math.sin(angle), PADDING + digit.shape[0] / 2
    x = middle - cosine * shift[0] + sine * shift[1]
    y = middle - sine * shift[0] - cosine * shift[1]
    paper = Image.fromarray(np.pad(digit, PADDING).astype(np.float32))
    drawn = paper.transform(
        (SIDE_PIXELS, SIDE_PIXELS),
        Image.Transform.AFFINE,
        (cosine, -sine, x, sine, cosine, y),
        resample=Image.Resampling.BICUBIC,
    )
    return np.rint(np.clip(np.asarray(drawn) / BRIGHTEST, 0, 1) * 255).astype(np.uint8)


def photo_patch(photos: list[np.ndarray], split: str, random: np.random.Generator) -> np.ndarray:
    """Cut a uint8 `(64, 64, 3)` patch: from the left halves for train, from the right halves for test."""
    photo = photos[random.integers(len(photos))]
    half = photo.shape[1] // 2
    region = photo[:, :half] if split == "train" else photo[:, half:]
    top, left = (random.integers(length - SIDE_PIXELS + 1) for length in region.shape[:2])
    return region[top : top + SIDE_PIXELS, left : left + SIDE_PIXELS]


def blended(patch: np.ndarray, digit: np.ndarray) -> np.ndarray:
    """Blend |patch - digit| per channel, in 32 levels a channel: PNG files of half the size, no visible change."""
    difference = np.abs(patch.astype(np.int16) - digit[..., None].astype(np.int16))
    return (difference // COLOUR_STEP * COLOUR_STEP + COLOUR_STEP // 2).astype(np.uint8)


def split_of_each(labels: np.ndarray, random: np.random.Generator) -> list[str]:
    """Draw 60 digits a class for the train pool; the rest are test."""
    splits = np.full(len(labels), "test", dtype="<U5")
    for label in np.unique(labels):
        splits[random.permutation(np.flatnonzero(labels == label))[:TRAIN_PER_CLASS]] = "train"
    return splits.tolist()


def main() -> None:
    """Replace both folders of images."""
    digits, labels = load_digits(return_X_y=True)
    photos = [np.asarray(photo) for photo in load_sample_images().images]
    splits = split_of_each(labels, np.random.default_rng(SEED))
    for name in ("photodigits", "digits"):
        shutil.rmtree(ASSETS / name, ignore_errors=True)
    for index, (digit, label, split) in enumerate(zip(digits.reshape(-1, 8, 8), labels, splits, strict=True)):
        random = np.random.default_rng([SEED, index])
        drawn = enlarged_digit(digit, random)
        over_photo = blended(photo_patch(photos, split, random), drawn)
        for name, pixels in (("digits", drawn), ("photodigits", over_photo)):
            path = ASSETS / name / split / str(label) / f"{index:04}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(path, optimize=True)


if __name__ == "__main__":
    main()
