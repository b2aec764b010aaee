"""How many pixels the photographs have, which side is stored, and which images a backbone sees enlarged.

The side that decides is the one that `resize` fits to the square: the longer one of what is padded, else the shorter.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from backbench.config.dataset_config import DatasetConfig, Resize


@dataclass(frozen=True)
class Enlarged:
    """Images that have fewer pixels than a backbone's input, which is `input_pixels` wide and high.

    `median_factor` is by how much the sides of those that are enlarged grow, 1 where none is.
    """

    input_pixels: int
    num_images: int
    num_enlarged: int
    median_factor: float

    @property
    def share(self) -> float:
        return self.num_enlarged / self.num_images if self.num_images else 0.0

    def __str__(self) -> str:
        if not self.num_enlarged:
            return "no image is enlarged"
        how_many = "all" if self.num_enlarged == self.num_images else f"{self.num_enlarged:,} of {self.num_images:,}"
        return f"{how_many} images are enlarged to {self.input_pixels} px, {self.median_factor:.2f} times in the median"


def deciding_side(width: int, height: int, resize: Resize) -> int:
    """Return the side of a picture that becomes the side of its square."""
    return max(width, height) if resize == "pad" else min(width, height)


def stored_side(config: DatasetConfig, wanted_pixels: int | None, sides: Iterable[int]) -> int:
    """Return the configured side, or else the wanted one, as far as the largest photograph has it.

    `wanted_pixels` is what the largest backbone of the benchmark takes, and `sides` the deciding side of every
    photograph; neither is of use where a side is configured.
    """
    if config.image_size_pixels is not None:
        return config.image_size_pixels
    if wanted_pixels is None:
        raise ValueError("expected a wanted size where the configuration has none")
    return min(wanted_pixels, max(sides, default=wanted_pixels))


def enlarged(sides: np.ndarray, stored_pixels: int, input_pixels: int) -> Enlarged:
    """Count the images that are enlarged on their way to a backbone, which takes `input_pixels`.

    `sides` is int `(num_images,)`, the deciding side of every photograph; all pass through squares of `stored_pixels`.
    """
    factors = input_pixels / np.minimum(sides, stored_pixels)
    grown = factors[factors > 1]
    return Enlarged(input_pixels, len(sides), len(grown), float(np.median(grown)) if len(grown) else 1.0)
