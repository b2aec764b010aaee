"""What every backbone whose weights timm publishes must do. The numbers to meet are timm's own: tests/golden/."""

from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec

import keras
import numpy as np
import pytest

from backbench.backbones.graph import build_graph, preprocess
from backbench.backbones.timm_weights import set_timm_weights
from backbench.config.backbone_config import BackboneConfig
from backbench.features.freezing import cut
from tests.golden.drawn import drawn_arrays, drawn_images
from tests.support.configs import PROJECT, backbone_config

LARGEST_RELATIVE_ERROR = 1e-5
NUM_CLASSES = 1000
Shapes = dict[str, tuple[int, ...]]


@dataclass(frozen=True)
class Golden:
    """What timm says and computes of one set of published weights; `tests/golden/make_timm.py` wrote it."""

    published: str
    licence: str
    mean: np.ndarray
    std: np.ndarray
    shapes: Shapes
    num_parameters: int
    size_pixels: int
    features: np.ndarray


def read_golden(model: str) -> Golden:
    with np.load(PROJECT / f"tests/golden/timm_{model}.npz", allow_pickle=False) as file:
        sides = zip(file["names"], file["shapes"], strict=True)
        return Golden(
            published=str(file["published"]),
            licence=str(file["licence"]),
            mean=file["mean"],
            std=file["std"],
            shapes={str(name): tuple(int(side) for side in shape if side) for name, shape in sides},
            num_parameters=int(file["num_parameters"]),
            size_pixels=int(file["size_pixels"]),
            features=file["features"],
        )


def relative_error(found: np.ndarray, expected: np.ndarray) -> float:
    """The largest difference, as a share of the largest feature."""
    return float(np.abs(np.asarray(found) - expected).max() / np.abs(expected).max())


class TimmBackboneContract:
    """A subclass has fixtures `backbone`, the name of a configuration, and `model`, timm's name for it."""

    @pytest.fixture(scope="class")
    @classmethod
    def golden(cls, model: str) -> Golden:
        return read_golden(model)

    @pytest.fixture(scope="class")
    @classmethod
    def graph(cls, backbone: str, golden: Golden) -> Iterator[keras.Model]:
        """The backbone at the golden size, under the golden weights."""
        graph = build_graph(backbone_config(backbone, input_size_pixels=golden.size_pixels))
        set_timm_weights(graph, drawn_arrays(golden.shapes), source="golden")
        yield graph
        keras.utils.clear_session()

    @pytest.fixture
    def config(self, backbone: str) -> BackboneConfig:
        return backbone_config(backbone)

    def test_features_are_those_of_timm(self, graph: keras.Model, golden: Golden) -> None:
        error = relative_error(graph(drawn_images(golden.size_pixels)), golden.features)
        print(f"{golden.published}: relative error {error:.1e}")
        assert error <= LARGEST_RELATIVE_ERROR
        # Otherwise a wrong graph could pass by saying the same of all images.
        assert relative_error(golden.features[0], golden.features[1]) > 0.1

    def test_exchanged_arrays_are_noticed(self, graph: keras.Model, golden: Golden) -> None:
        """The tolerance is tight enough: even the smallest vectors, exchanged, give other features."""
        arrays = drawn_arrays(golden.shapes)
        names = [name for name in arrays if not name.endswith("num_batches_tracked")]
        for first, second in exchangeable(names, golden.shapes):
            exchanged = {**arrays, first: arrays[second], second: arrays[first]}
            set_timm_weights(graph, exchanged, source="exchanged")
            error = relative_error(graph(drawn_images(golden.size_pixels)), golden.features)
            assert error > 10 * LARGEST_RELATIVE_ERROR, (first, second)
        set_timm_weights(graph, arrays, source="golden")

    def test_parameters_are_as_many_as_those_of_timm(self, graph: keras.Model, golden: Golden) -> None:
        num_trained = sum(int(np.prod(weight.shape)) for weight in graph.trainable_weights)
        num_of_classifier = (graph.output_shape[-1] + 1) * NUM_CLASSES
        assert num_trained + num_of_classifier == golden.num_parameters

    def test_a_cut_at_the_last_stage_recomposes(
        self, graph: keras.Model, golden: Golden, config: BackboneConfig
    ) -> None:
        halves = cut(graph, config.last_stage_boundary)
        assert halves.prefix is not None
        assert halves.suffix is not None
        images = drawn_images(golden.size_pixels)
        assert relative_error(halves.suffix(halves.prefix(images)), golden.features) <= LARGEST_RELATIVE_ERROR

    def test_the_configuration_says_what_timm_says(self, config: BackboneConfig, golden: Golden) -> None:
        assert config.pretrained is not None
        if config.pretrained.package is None:
            address = f"https://huggingface.co/timm/{golden.published}/resolve/main/model.safetensors"
            assert (config.pretrained.layout, config.pretrained.url) == ("timm", address)
        assert config.pretrained.licence.lower() == golden.licence
        images = np.random.default_rng(0).integers(0, 256, (2, 8, 8, 3), dtype="uint8")
        np.testing.assert_allclose(preprocess(config, images), (images / 255 - golden.mean) / golden.std, atol=1e-5)

    @pytest.mark.timm
    @pytest.mark.skipif(find_spec("timm") is None, reason="timm is not installed; pip install 'backbench[timm]'")
    def test_features_at_full_size_are_those_of_timm(self, golden: Golden, config: BackboneConfig) -> None:
        from tests.golden.make_timm import timm_features

        images = drawn_images(config.input_size_pixels)
        _, expected = timm_features(golden.published, images)
        graph = build_graph(config)
        set_timm_weights(graph, drawn_arrays(golden.shapes), source="drawn")
        error = relative_error(graph(images), expected)
        print(f"{golden.published} at {config.input_size_pixels} px: relative error {error:.1e}")
        assert error <= LARGEST_RELATIVE_ERROR


def exchangeable(names: list[str], shapes: Shapes) -> list[tuple[str, str]]:
    """Two pairs of arrays of one shape: the first kernels that are alike, and the first two vectors."""
    kernels = [name for name in names if len(shapes[name]) > 1]
    vectors = [name for name in names if len(shapes[name]) == 1]
    alike = next((a, b) for i, a in enumerate(kernels) for b in kernels[i + 1 :] if shapes[a] == shapes[b])
    return [alike, (vectors[0], vectors[1])]
