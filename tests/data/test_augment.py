"""Views are mild, drawn by seed and index alone, and have no dark border."""

from dataclasses import replace

import numpy as np
import pytest

from backbench.config.dataset_config import NO_AUGMENTATION, AugmentationConfig
from backbench.data.arrays import augment
from backbench.data.arrays.augment import resized

MILD = AugmentationConfig(
    shift=0.06, rotate_degrees=8.0, scale=0.08, horizontal_flip=True, brightness=0.1, contrast=0.1
)
WILD = replace(NO_AUGMENTATION, shift=0.5, rotate_degrees=180.0, scale=0.9, horizontal_flip=True)


def augmented(images: np.ndarray, config: AugmentationConfig, *, seed: int, view: int = 1) -> np.ndarray:
    """One view of every image of a split."""
    views, indices = np.full(len(images), view), np.arange(len(images))
    return augment.augmented(images, config, seed=seed, views=views, indices=indices)


@pytest.fixture
def images() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, size=(6, 32, 32, 3), dtype=np.uint8)


def smooth(num_images: int) -> np.ndarray:
    ramp = np.linspace(60, 180, 32)
    image = np.stack([np.add.outer(ramp, weight * ramp) / (1 + weight) for weight in (0.2, 1.0, 3.0)], axis=-1)
    return np.repeat(image[None].astype(np.uint8), num_images, axis=0)


def test_shape_and_type_are_kept(images: np.ndarray) -> None:
    before = images.copy()
    views = augmented(images, MILD, seed=0)
    assert views.shape == images.shape
    assert views.dtype == np.uint8
    np.testing.assert_array_equal(images, before)


def test_one_seed_draws_one_view(images: np.ndarray) -> None:
    np.testing.assert_array_equal(augmented(images, MILD, seed=0), augmented(images, MILD, seed=0))


def test_seed_zero_and_seed_one_differ(images: np.ndarray) -> None:
    assert (augmented(images, MILD, seed=0) != augmented(images, MILD, seed=1)).any()


def test_images_get_views_of_their_own() -> None:
    views = augmented(smooth(6), MILD, seed=0)
    assert len({view.tobytes() for view in views}) == 6


@pytest.mark.parametrize("size", [1, 4, 12])
def test_a_view_depends_on_seed_view_and_index_alone(images: np.ndarray, size: int) -> None:
    whole = np.stack([augmented(images, MILD, seed=3, view=view) for view in range(2)])
    views, indices = np.divmod(np.random.default_rng(5).permutation(12), 6)
    parts = [
        augment.augmented(images[at], MILD, seed=3, views=view, indices=at)
        for view, at in zip(np.split(views, 12 // size), np.split(indices, 12 // size), strict=True)
    ]
    np.testing.assert_array_equal(np.concatenate(parts), whole[views, indices])


def test_view_zero_is_the_image_itself_and_the_others_differ(images: np.ndarray) -> None:
    np.testing.assert_array_equal(augmented(images, MILD, seed=0, view=0), images)
    seen = {augmented(images, MILD, seed=0, view=view).tobytes() for view in (0, 1, 2, 2**31 - 2)}
    assert len(seen) == 4


def test_a_view_is_drawn_from_its_own_place_in_the_stream_of_its_view() -> None:
    """The numbers are those of drawing all images of a view at once, so that no earlier measurement changes."""
    view_seed = int(np.random.SeedSequence([7, 2]).generate_state(1)[0])
    at_once = np.random.default_rng(view_seed).uniform(-1, 1, size=(40, augment.DRAWS_PER_IMAGE))
    np.testing.assert_array_equal([augment._draws(7, 2, index) for index in range(40)], at_once)


def test_no_augmentation_is_the_image_itself(images: np.ndarray) -> None:
    np.testing.assert_array_equal(augmented(images, NO_AUGMENTATION, seed=0), images)


def test_a_flip_mirrors_exactly_and_only_some(images: np.ndarray) -> None:
    views = augmented(np.repeat(images[:1], 40, axis=0), replace(NO_AUGMENTATION, horizontal_flip=True), seed=0)
    mirrored = [np.array_equal(view, images[0, :, ::-1]) for view in views]
    plain = [np.array_equal(view, images[0]) for view in views]
    assert all(a != b for a, b in zip(mirrored, plain, strict=True))
    assert 8 < sum(mirrored) < 32


def test_a_shift_moves_by_its_share_at_most() -> None:
    dot = np.zeros((50, 33, 33, 3), dtype=np.uint8)
    dot[:, 16, 16] = 255
    views = augmented(dot, replace(NO_AUGMENTATION, shift=0.25), seed=0).astype(np.float64)[..., 0]
    offsets = np.stack(
        [np.average(np.arange(33), weights=views.sum(axis=axis)[i]) for axis in (1, 2) for i in range(50)]
    )
    assert np.abs(offsets - 16).max() <= 0.25 * 33 + 1
    assert np.abs(offsets - 16).max() > 4


@pytest.mark.parametrize("config", [MILD, WILD], ids=["mild", "wild"])
def test_the_border_is_mirrored_never_black(config: AugmentationConfig) -> None:
    assert augmented(np.full((60, 32, 32, 3), 200, dtype=np.uint8), config, seed=0).min() >= 175


def test_mild_views_stay_close() -> None:
    difference = np.abs(augmented(smooth(50), MILD, seed=0)[..., 1].astype(int) - smooth(50)[..., 1].astype(int))
    assert difference.mean() < 30


@pytest.mark.parametrize("config", [replace(NO_AUGMENTATION, brightness=0.5), replace(NO_AUGMENTATION, contrast=0.5)])
def test_brightness_and_contrast_change_levels_alone(images: np.ndarray, config: AugmentationConfig) -> None:
    views = augmented(images, config, seed=0)
    for image, view in zip(images, views, strict=True):
        order = np.argsort(image[..., 0].ravel(), kind="stable")
        assert (np.diff(view[..., 0].ravel()[order].astype(int)) >= 0).all()
    assert (views != images).any()


def test_resizing_to_the_same_size_is_the_identity(images: np.ndarray) -> None:
    assert resized(images, 32) is images


@pytest.mark.parametrize("size_pixels", [16, 75])
def test_resizing_changes_the_sides_alone(images: np.ndarray, size_pixels: int) -> None:
    sized = resized(images, size_pixels)
    assert sized.shape == (6, size_pixels, size_pixels, 3)
    assert sized.dtype == np.uint8
    np.testing.assert_allclose(sized.mean(axis=(1, 2)), images.mean(axis=(1, 2)), atol=4)
