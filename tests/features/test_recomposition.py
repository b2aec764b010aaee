"""The contract of a cut, held by the models of keras.applications: suffix(prefix(x)) equals model(x).

A spread of graphs, by what is peculiar to them. tests/backbones/test_backbone_contract.py has DenseNet121, MobileNetV3
and Xception, and every backbone of the catalogue where it is asked.
"""

from collections.abc import Callable, Iterator

import keras
import numpy as np
import pytest

from backbench.backbones.articulation import articulations
from backbench.config.config import OUTPUT
from backbench.features.freezing import cut, tapped_prefix
from tests.support.graphs import articulation_points

SPREAD = ["EfficientNetV2B0", "InceptionV3", "NASNetMobile", "ResNet50V2", "VGG16"]
SMALLEST_PIXELS = {"InceptionV3": 75, "InceptionResNetV2": 75, "Xception": 71}
SMALLEST_PIXELS_OF_MOST = 32
LARGEST_RELATIVE_ERROR = 1e-5

Build = Callable[..., keras.Model]


@pytest.fixture
def build() -> Iterator[Build]:
    """A constructor of keras.applications at its smallest input; what it built is forgotten afterwards."""

    def built(name: str, **arguments: object) -> keras.Model:
        size = SMALLEST_PIXELS.get(name, SMALLEST_PIXELS_OF_MOST)
        return getattr(keras.applications, name)(weights=None, input_shape=(size, size, 3), **arguments)

    yield built
    keras.utils.clear_session()


def places_to_try(model: keras.Model) -> list[str]:
    """The first, the middle and the last place, the last of every stage, and three drawn ones; in order."""
    points = articulations(model)
    names = [point.name for point in points]
    drawn = np.random.default_rng(0).choice(names, size=min(3, len(names)), replace=False)
    stages = {point.stage: point.name for point in points}
    chosen = {names[0], names[len(names) // 2], names[-1], *stages.values(), *drawn}
    return [name for name in names if name in chosen]


def worst_relative_error(model: keras.Model) -> float:
    """The largest difference that a cut makes to an output, relative to the largest output."""
    for weight in model.weights:
        if weight.name == "gamma":  # ConvNeXt starts its blocks at 1e-6 of their size: nobody would miss one.
            weight.assign(np.ones(weight.shape))
    images = np.random.default_rng(0).uniform(0, 255, size=(2, *model.input_shape[1:])).astype("float32")
    expected = np.asarray(model(images))
    scale = np.abs(expected).max()
    assert np.isfinite(scale)
    # Otherwise a wrong cut would make no difference either.
    assert np.abs(expected[0] - expected[1]).max() > 1e-3 * scale
    places = places_to_try(model)
    *activations, output = tapped_prefix(model, [*places, OUTPUT])(images)
    errors = [np.abs(np.asarray(output) - expected).max()]
    for place, activation in zip(places, activations, strict=True):
        halves = cut(model, place)
        assert halves.prefix is not None
        assert halves.suffix is not None
        if place == places[len(places) // 2]:  # The taps are what the prefixes compute; once is enough to show it.
            np.testing.assert_array_equal(np.asarray(activation), np.asarray(halves.prefix(images)))
        errors.append(np.abs(np.asarray(halves.suffix(activation)) - expected).max())
    return float(max(errors) / scale)


def check(model: keras.Model) -> None:
    worst = worst_relative_error(model)
    print(f"{model.name}: {len(articulation_points(model))} places, worst relative error {worst:.1e}")
    assert worst <= LARGEST_RELATIVE_ERROR


@pytest.mark.parametrize("name", SPREAD)
def test_a_family_recomposes_wherever_it_is_cut(name: str, build: Build) -> None:
    check(build(name, include_top=False, pooling="avg"))


def test_a_model_with_its_classifier_recomposes_wherever_it_is_cut(build: Build) -> None:
    check(build("MobileNetV3Small", include_top=True, classifier_activation=None))
