"""The contract of a cut, held by the models of keras.applications: suffix(prefix(x)) equals model(x).

A spread of graphs, by what is peculiar to them. tests/backbones/test_backbone_contract.py has DenseNet121, MobileNetV3
and Xception, and every backbone of the catalogue where it is asked.
"""

from collections.abc import Callable, Iterator

import keras
import pytest

from tests.support.graphs import cut_point_names
from tests.support.recomposition import LARGEST_RELATIVE_ERROR, worst_relative_error

LARGE = ["InceptionV3", "NASNetMobile", "ResNet50V2"]
SPREAD = ["EfficientNetV2B0", "VGG16", *(pytest.param(name, marks=pytest.mark.system) for name in LARGE)]
SMALLEST_PIXELS = {"InceptionV3": 75, "InceptionResNetV2": 75, "Xception": 71}
SMALLEST_PIXELS_OF_MOST = 32

Build = Callable[..., keras.Model]


@pytest.fixture
def build() -> Iterator[Build]:
    """A constructor of keras.applications at its smallest input; what it built is forgotten afterwards."""

    def built(name: str, **arguments: object) -> keras.Model:
        size = SMALLEST_PIXELS.get(name, SMALLEST_PIXELS_OF_MOST)
        return getattr(keras.applications, name)(weights=None, input_shape=(size, size, 3), **arguments)

    yield built
    keras.utils.clear_session()


def check(model: keras.Model) -> None:
    worst = worst_relative_error(model)
    print(f"{model.name}: {len(cut_point_names(model))} places, worst relative error {worst:.1e}")
    assert worst <= LARGEST_RELATIVE_ERROR


@pytest.mark.parametrize("name", SPREAD)
def test_a_family_recomposes_wherever_it_is_cut(name: str, build: Build) -> None:
    check(build(name, include_top=False, pooling="avg"))


def test_a_model_with_its_classifier_recomposes_wherever_it_is_cut(build: Build) -> None:
    check(build("MobileNetV3Small", include_top=True, classifier_activation=None))
