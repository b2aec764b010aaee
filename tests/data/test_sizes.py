"""Which images a backbone sees enlarged, and by how much."""

import numpy as np
import pytest

from backbench.config.dataset_config import Resize
from backbench.data.arrays.sizes import deciding_side, enlarged


@pytest.mark.parametrize(("resize", "side"), [("crop", 300), ("pad", 400), ("squash", 300)])
def test_the_side_that_decides_is_the_one_that_fills_the_square(resize: Resize, side: int) -> None:
    assert deciding_side(400, 300, resize) == deciding_side(300, 400, resize) == side


@pytest.mark.parametrize(
    ("stored", "input_pixels", "share", "words"),
    [
        (300, 100, 0.0, "no image is enlarged"),
        (300, 300, 0.5, "2 of 4 images are enlarged to 300 px, 2.25 times in the median"),
        # What prepare threw away is gone, whatever the photographs had.
        (150, 300, 1.0, "all images are enlarged to 300 px, 2.00 times in the median"),
    ],
)
def test_images_are_enlarged_that_had_or_kept_fewer_pixels(
    stored: int, input_pixels: int, share: float, words: str
) -> None:
    found = enlarged(np.array([100, 200, 300, 4000]), stored, input_pixels)
    assert (found.share, str(found)) == (share, words)


def test_of_no_photograph_none_is_enlarged() -> None:
    found = enlarged(np.array([], dtype=int), 64, 80)
    assert (found.num_enlarged, found.share, found.median_factor) == (0, 0.0, 1.0)
