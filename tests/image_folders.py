"""Small folders of images for the tests of the data path: every picture differs from every other."""

from pathlib import Path

import numpy as np
from PIL import Image

from backbench.config import NO_AUGMENTATION, DatasetConfig

SIDE_PIXELS = 16


def picture(number: int, *, size: tuple[int, int] = (SIDE_PIXELS, SIDE_PIXELS)) -> Image.Image:
    """Draw noise that only this number gives, RGB."""
    noise = np.random.default_rng(number).integers(0, 256, size=(size[1], size[0], 3), dtype=np.uint8)
    return Image.fromarray(noise)


def save(image: Image.Image, path: Path) -> Path:
    """Write a picture with its folders; the format follows the name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path)
    return path


def make_folder(folder: Path, num_per_class: int = 10, classes: tuple[str, ...] = ("cat", "dog")) -> Path:
    """Write `num_per_class` PNG files per class into `folder/<class>/`."""
    for index, name in enumerate(classes):
        for number in range(num_per_class):
            save(picture(1000 * index + number), folder / name / f"{number:03}.png")
    return folder


def config_for(folder: Path, **changes: object) -> DatasetConfig:
    """Configure a folder of tiny pictures."""
    values = {
        "name": "tiny",
        "path": str(folder),
        "image_size_pixels": SIDE_PIXELS,
        "min_size_pixels": 8,
        "max_image_pixels": 50_000_000,
        "val_fraction": 0.2,
        "test_fraction": 0.2,
        "split_seed": 0,
        "augmentation": NO_AUGMENTATION,
    } | changes
    return DatasetConfig(**values)  # type: ignore[arg-type]
