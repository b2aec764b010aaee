"""What each way of resizing keeps of a picture, and what is called nearly constant."""

import numpy as np
import pytest
from PIL import Image

from backbench.config.dataset_config import AugmentationConfig, Resize
from backbench.data.arrays.augment import augmented
from backbench.data.ingest.pixels import GREY, PixelRule, is_nearly_constant
from tests.support.image_folders import picture

LEFT, MIDDLE, RIGHT = (255, 0, 0), (0, 255, 0), (0, 0, 255)


def thirds() -> Image.Image:
    """Red, green and blue squares beside each other: 48 pixels wide, 16 high."""
    return Image.fromarray(np.repeat(np.array([[LEFT, MIDDLE, RIGHT]], dtype=np.uint8), 16, axis=1).repeat(16, axis=0))


def square(image: Image.Image, resize: Resize, side: int = 16) -> np.ndarray:
    found = np.asarray(PixelRule(side, resize, None).square(image))
    assert found.shape == (side, side, 3)
    assert found.dtype == np.uint8
    return found


@pytest.mark.parametrize("is_upright", [False, True])
def test_crop_keeps_the_central_square(is_upright: bool) -> None:
    image = thirds().transpose(Image.Transpose.ROTATE_270) if is_upright else thirds()
    np.testing.assert_array_equal(square(image, "crop"), np.broadcast_to(MIDDLE, (16, 16, 3)))


def test_pad_keeps_the_whole_picture_and_its_proportions_on_grey() -> None:
    found = square(thirds(), "pad", side=48)
    np.testing.assert_array_equal(found[16:32], np.asarray(thirds()))
    np.testing.assert_array_equal(found[:16], np.broadcast_to(GREY, (16, 48, 3)))
    np.testing.assert_array_equal(found[32:], np.broadcast_to(GREY, (16, 48, 3)))


def test_squash_keeps_the_whole_picture_and_not_its_proportions() -> None:
    found = square(thirds(), "squash", side=48)
    for column, colour in ((8, LEFT), (24, MIDDLE), (40, RIGHT)):
        np.testing.assert_array_equal(found[:, column], np.broadcast_to(colour, (48, 3)))


@pytest.mark.parametrize("resize", ["crop", "pad", "squash"])
def test_a_square_picture_is_the_same_by_each_and_not_resampled_at_its_size(resize: Resize) -> None:
    np.testing.assert_array_equal(square(picture(0), resize), np.asarray(picture(0)))
    np.testing.assert_array_equal(square(picture(0), resize, side=8), square(picture(0), "crop", side=8))


@pytest.mark.parametrize("resize", ["crop", "pad", "squash"])
def test_a_long_strip_is_never_held_enlarged(resize: Resize) -> None:
    assert square(Image.new("RGB", (100_000, 8), "red"), resize, side=2048).shape == (2048, 2048, 3)


def test_views_of_a_padded_picture_have_grey_beyond_its_border() -> None:
    """A view that looks beyond its square sees the padding mirrored: grey, and never the picture again."""
    turned = AugmentationConfig(
        shift=0.1, rotate_degrees=20.0, scale=0.2, horizontal_flip=True, brightness=0.0, contrast=0.0
    )
    padded = square(thirds(), "pad", side=48)
    views = augmented(np.stack([padded] * 8), turned, seed=0, views=np.arange(1, 9), indices=np.zeros(8, dtype=int))
    corners = views[:, [0, 0, -1, -1], [0, -1, 0, -1]]
    np.testing.assert_array_equal(corners, np.broadcast_to(GREY, corners.shape))


def ramp(lowest: int, highest: int) -> np.ndarray:
    return np.linspace(lowest, highest, 64 * 64).round().astype(np.uint8).reshape(64, 64)


@pytest.mark.parametrize(
    ("grey", "expected"),
    [
        (np.full((64, 64), 200, np.uint8), True),
        (ramp(0, 16), True),  # 12-bit values that were taken for 16-bit ones
        (ramp(100, 116), True),
        (ramp(0, 40), False),
        (ramp(0, 255), False),
    ],
)
def test_what_stays_within_a_sixteenth_of_the_levels_is_nearly_constant(grey: np.ndarray, expected: bool) -> None:
    assert is_nearly_constant(Image.fromarray(np.dstack([grey] * 3))) is expected


def test_a_few_bright_pixels_hide_no_nearly_constant_picture_and_a_hundredth_does() -> None:
    dark = np.zeros((100, 100, 3), dtype=np.uint8)
    dark[:5, :10] = 255
    assert is_nearly_constant(Image.fromarray(dark))
    dark[:10, :10] = 255
    assert not is_nearly_constant(Image.fromarray(dark))


def test_one_channel_that_varies_is_enough() -> None:
    coloured = np.dstack([ramp(0, 255), np.zeros((64, 64), np.uint8), np.zeros((64, 64), np.uint8)])
    assert not is_nearly_constant(Image.fromarray(coloured))
