"""The far target: reproducible, balanced, out of reach of raw pixels and of the source's classes."""

import ast
import inspect
from types import ModuleType

import numpy as np
import pytest
from pretraining.formula import textures
from pretraining.transfer import far_target, materials
from pretraining.transfer.probes import linear_probe
from pretraining.transfer.subsets import FewShotTask

from backbench.evaluation.baseline import pixel_values

NUM_TRAIN, NUM_VAL, NUM_IMAGES = 300, 100, 700


@pytest.fixture(scope="module")
def drawn() -> tuple[np.ndarray, np.ndarray]:
    return far_target.draw(0, range(NUM_IMAGES))


def spectral_descriptor(images: np.ndarray) -> np.ndarray:
    """Log power by frequency, and how it is spread over directions, whatever the rotation: `(n, 27)`."""
    grey = images.mean(axis=-1)
    grey = (grey - grey.mean(axis=(1, 2), keepdims=True)) / grey.std(axis=(1, 2), keepdims=True)
    side = grey.shape[1]
    window = np.outer(np.hanning(side), np.hanning(side))
    power = np.abs(np.fft.fftshift(np.fft.fft2(grey * window), axes=(1, 2))) ** 2
    rows, columns = np.meshgrid(*[np.arange(side) - side // 2] * 2, indexing="ij")
    radius, angle = np.hypot(rows, columns), np.arctan2(rows, columns) % np.pi
    rings = np.digitize(radius, np.linspace(1, 32, 16))
    radial = np.stack([np.log(power[:, rings == ring].mean(axis=1)) for ring in range(1, 16)], axis=1)
    sectors = np.minimum((angle / np.pi * 24).astype(int), 23)
    middle = (radius > 3) & (radius < 20)
    by_angle = np.stack([power[:, middle & (sectors == sector)].sum(axis=1) for sector in range(24)], axis=1)
    harmonics = np.abs(np.fft.rfft(by_angle / by_angle.sum(axis=1, keepdims=True), axis=1))[:, 1:]
    return np.concatenate([radial, np.log(harmonics + 1e-4)], axis=1)


def probe_accuracy(values: np.ndarray, labels: np.ndarray) -> float:
    ends = (NUM_TRAIN, NUM_TRAIN + NUM_VAL)
    parts = zip(np.split(values, ends), np.split(labels, ends), strict=True)
    return linear_probe(FewShotTask(*(array for part in parts for array in part))).test_accuracy


def test_an_image_depends_on_seed_and_index_only(drawn: tuple[np.ndarray, np.ndarray]) -> None:
    images, labels = drawn
    again, again_labels = far_target.draw(0, range(17, 23))
    np.testing.assert_array_equal(again, images[17:23])
    np.testing.assert_array_equal(again_labels, labels[17:23])
    assert not np.array_equal(far_target.draw(1, range(17, 18))[0][0], images[17])
    assert images.dtype == np.uint8
    assert images.shape == (NUM_IMAGES, 64, 64, 3)
    assert labels.dtype == np.int32


def test_every_class_has_as_many_images(drawn: tuple[np.ndarray, np.ndarray]) -> None:
    assert np.bincount(drawn[1]).tolist() == [NUM_IMAGES // 10] * 10


def test_raw_pixels_cannot_solve_it(drawn: tuple[np.ndarray, np.ndarray]) -> None:
    images, labels = drawn
    assert probe_accuracy(pixel_values(images, np.arange(NUM_IMAGES)), labels) < 0.25


def test_pattern_tells_the_class(drawn: tuple[np.ndarray, np.ndarray]) -> None:
    images, labels = drawn
    assert probe_accuracy(spectral_descriptor(images), labels) > 0.5


def imported_modules(module: ModuleType) -> set[str]:
    tree = ast.parse(inspect.getsource(module))
    plain = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    return plain | {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}


def test_no_class_is_drawn_by_code_of_the_source() -> None:
    assert not set(materials.MATERIALS) & set(textures.TEXTURES)
    own = imported_modules(materials) | imported_modules(far_target)
    assert {name for name in own if name.startswith("pretraining.formula")} == {"pretraining.formula.warping"}
    assert all(material.__module__ == materials.__name__ for material in materials.MATERIALS)
