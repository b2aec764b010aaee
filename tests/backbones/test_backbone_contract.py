"""The contract of every backbone in conf/backbone, on random weights at its smallest input.

`make test` has one of each kind of builder, `make test-system` a spread of families, `make test-all` every one. A
backbone that is only a YAML passes here without a line of code; what is published of it is a row of
tests/support/published_costs.py.
"""

import gc
import importlib
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import keras
import numpy as np
import pytest

from backbench.adaptation.schedule import Hyperparameters
from backbench.adaptation.strategies import TrainablePart
from backbench.backbones.cut_points import cut_points
from backbench.backbones.graph import build_graph, imported, preprocess
from backbench.backbones.weights import save_weights
from backbench.compat.networks.keras_graph import nested_layers
from backbench.config.backbone_config import BackboneConfig
from backbench.features.activations import Activations
from backbench.features.freezing import cut, resolve_boundary
from tests.support.configs import PROJECT, backbone_config, strategy_config
from tests.support.contract_table import BEGIN, END, read_results, with_table
from tests.support.model_cost import num_macs, num_parameters
from tests.support.published_costs import PUBLISHED, Classifier, Published
from tests.support.recomposition import LARGEST_RELATIVE_ERROR, worst_relative_error

CATALOGUE = sorted(path.stem for path in (PROJECT / "conf/backbone").glob("*.yaml"))
# Of keras.applications, of this project, of KerasHub, and thinned.
BUILDERS = {"mobilenet_v3_small", "efficientnet_lite0", "deit_tiny", "mobilenet_v2_slim"}
SPREAD = {
    "clip_vit_b32",
    "densenet121",
    "dinov2_small",
    "dinov3_small",
    "resnet18",
    "resnet50_slim",
    "resnext50_32x4d",
    "siglip_b16",
    "swin_tiny",
    "xception",
}
NUM_CLASSES = 3
BATCH_SIZE = 4

IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
HALVES = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
# Mean and deviation, of values in [0, 1], that those who trained the weights give; by what a name starts with.
NORMALIZATION = {
    "clip": ((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)),  # openai/CLIP, clip.py
    "deit": IMAGENET,  # facebookresearch/deit, datasets.py
    "dinov2": IMAGENET,  # facebookresearch/dinov2, data/transforms.py
    "dinov3": IMAGENET,  # facebookresearch/dinov3, README
    "efficientnet_lite": HALVES,  # timm, tf_efficientnet_lite0
    "mobilenetv5": ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),  # google/gemma-3n-E2B, preprocessor_config.json: rescaled only
    "resnet": IMAGENET,  # timm, resnet18.a1_in1k
    "resnext": IMAGENET,  # timm, resnext50_32x4d.a1h_in1k
    "siglip": HALVES,  # google/siglip-base-patch16-224, preprocessor_config.json
    "swin": IMAGENET,  # microsoft/Swin-Transformer, data/build.py
    "vit": HALVES,  # google/vit-base-patch16-224, preprocessor_config.json
}


@dataclass(frozen=True)
class Built:
    """A backbone at its smallest input."""

    config: BackboneConfig
    model: keras.Model

    def full_size(self) -> keras.Model:
        """The backbone at the input of its configuration."""
        config = backbone_config(self.config.name)
        return self.model if self.config == config else build_graph(config)

    def another(self) -> keras.Model:
        """A backbone at the same smallest input, with other weights."""
        keras.utils.set_random_seed(1)
        return build_graph(self.config)


def marks_of(name: str) -> tuple[pytest.MarkDecorator, ...]:
    if name in BUILDERS:
        return ()
    return (pytest.mark.system if name in SPREAD else pytest.mark.every_backbone,)


@pytest.fixture(scope="module", params=[pytest.param(name, marks=marks_of(name)) for name in CATALOGUE])
def built(request: pytest.FixtureRequest) -> Iterator[Built]:
    config = backbone_config(request.param)
    small = replace(config, input_size_pixels=config.min_size_pixels)
    keras.utils.set_random_seed(0)
    yield Built(small, build_graph(small))
    # Graphs and what was traced of them are cycles, and hundreds of megabytes each.
    keras.utils.clear_session()
    gc.collect()


def drawn_images(config: BackboneConfig) -> np.ndarray:
    size = config.input_size_pixels
    return np.random.default_rng(0).integers(0, 256, (2, size, size, 3), dtype="uint8")


def test_images_become_features_of_the_declared_size(built: Built) -> None:
    features = np.asarray(built.model(preprocess(built.config, drawn_images(built.config))))
    assert features.shape == (2, built.config.feature_dim)
    assert features.dtype == np.float32
    assert np.isfinite(features).all()


def test_images_are_scaled_as_the_family_asks(built: Built) -> None:
    images = drawn_images(built.config)
    scaled = np.asarray(preprocess(built.config, images))
    np.testing.assert_allclose(scaled, scaled_by_the_family(built.config, images), rtol=1e-5, atol=1e-5)


def scaled_by_the_family(config: BackboneConfig, images: np.ndarray) -> np.ndarray:
    """What the library's own function makes of the images, or what those who trained the weights say."""
    if config.constructor.startswith("keras.applications."):
        module = importlib.import_module(imported(config.constructor).__module__)
        return np.asarray(module.preprocess_input(images.astype("float32")))
    mean, deviation = next(values for start, values in NORMALIZATION.items() if config.name.startswith(start))
    return (images / 255.0 - np.array(mean)) / np.array(deviation)


def test_it_recomposes_wherever_it_is_cut(built: Built, record_property: Callable[[str, object], None]) -> None:
    worst = worst_relative_error(built.model)
    record_property("places", len(cut_points(built.model)))
    record_property("error", worst)
    assert worst <= LARGEST_RELATIVE_ERROR


def test_a_training_step_moves_the_suffix_and_nothing_else(built: Built) -> None:
    """Fine-tuning of the last stage: frozen stays frozen, and so do all BatchNormalization layers."""
    strategy = strategy_config("fine_tuning", linear_probe_warmup=None, epochs=1, batch_size=BATCH_SIZE)
    halves = cut(built.model, resolve_boundary(built.model, built.config, *strategy.boundaries))
    assert halves.prefix is not None
    assert halves.suffix is not None
    trainable_part = TrainablePart(halves.suffix, built.config, strategy, num_classes=NUM_CLASSES)
    frozen = halves.prefix.get_weights()
    before = named_values(halves.suffix)
    norms = {id(w) for layer in nested_layers(halves.suffix) if is_batch_norm(layer) for w in layer.weights}
    data = drawn_activations(halves.suffix)
    initial = trainable_part.initial_values(data, data, seed=0)
    (fit,) = trainable_part.fit([Hyperparameters(1e-2, 0.0, 0)], [initial], data, data)
    trainable_part.model.set_weights(fit.weights)
    assert all(np.array_equal(a, b) for a, b in zip(frozen, halves.prefix.get_weights(), strict=True))
    moved = {key for key, value in named_values(halves.suffix).items() if not np.array_equal(value, before[key])}
    assert not moved & norms
    kernels = {id(weight) for weight in halves.suffix.trainable_weights if weight.path.endswith("kernel")}
    assert kernels
    assert len(kernels & moved) >= 0.9 * len(kernels)


def named_values(model: keras.Model) -> dict[int, np.ndarray]:
    return {id(weight): np.array(weight) for weight in model.weights if "seed_generator" not in weight.path}


def is_batch_norm(layer: keras.Layer) -> bool:
    return isinstance(layer, keras.layers.BatchNormalization)


def drawn_activations(suffix: keras.Model) -> Activations:
    random = np.random.default_rng(0)
    values = random.normal(size=(1, BATCH_SIZE, *suffix.input_shape[1:])).astype("float32")
    return Activations(values, np.arange(BATCH_SIZE, dtype="int32") % NUM_CLASSES)


def test_saved_weights_give_equal_features_in_another_model(built: Built, tmp_path: Path) -> None:
    path = tmp_path / "saved.weights.h5"
    save_weights(built.model, path)
    other = built.another()
    images = preprocess(built.config, drawn_images(built.config))
    other.load_weights(path)
    np.testing.assert_array_equal(np.asarray(other(images)), np.asarray(built.model(images)))


def test_costs_are_those_of_the_catalogue_and_those_published(built: Built) -> None:
    config, model = backbone_config(built.config.name), built.full_size()
    assert num_parameters(model) == config.num_parameters
    assert num_macs(model) == config.num_macs
    if config.has_own_width:
        published = PUBLISHED[config.name]
        classifier = published.classifier or linear_classifier(config.feature_dim)
        # Keras's figures count BatchNormalization's statistics, PyTorch's do not.
        counts = [num_parameters(model), num_parameters(model) - num_statistics(model)]
        assert any(is_as_printed(published.parameters, (count + classifier.parameters) / 1e6) for count in counts), (
            counts
        )
        assert is_as_printed(published.macs, (config.num_macs + classifier.macs) / 1e9)


def linear_classifier(feature_dim: int, num_classes: int = 1000) -> Classifier:
    return Classifier(feature_dim * num_classes + num_classes, feature_dim * num_classes)


def num_statistics(model: keras.Model) -> int:
    norms = [layer for layer in nested_layers(model) if is_batch_norm(layer)]
    return sum(math.prod(weight.shape) for norm in norms for weight in (norm.moving_mean, norm.moving_variance))


def is_as_printed(printed: str | None, found: float) -> bool:
    """Within one per cent, or within the rounding of the last digit that is printed; always, where nothing is."""
    if printed is None:
        return True
    half_a_digit = 0.5 * 10.0 ** -len(printed.partition(".")[2])
    return math.isclose(found, float(printed), rel_tol=0.01, abs_tol=half_a_digit)


@pytest.mark.parametrize(("printed", "found", "fits"), [("4.1", 4.14, True), ("4.1", 4.2, False), ("19", 19.4, True)])
def test_a_printed_figure_is_as_exact_as_its_digits(printed: str, found: float, fits: bool) -> None:
    assert is_as_printed(printed, found) == fits


def test_every_row_is_of_a_backbone() -> None:
    full = {name for name in CATALOGUE if backbone_config(name).has_own_width}
    assert set(PUBLISHED) == full
    assert all(isinstance(row, Published) for row in PUBLISHED.values())
    assert set(CATALOGUE) >= BUILDERS | SPREAD


REPORT = """<testsuites><testsuite>
<testcase classname="tests.backbones.test_backbone_contract" name="test_it_recomposes_wherever_it_is_cut[vgg16]">
<properties><property name="places" value="18"/><property name="error" value="1.2e-07"/></properties></testcase>
<testcase classname="tests.backbones.test_backbone_contract" name="test_images_are_scaled_as_the_family_asks[vgg16]">
<failure message="no"/></testcase>
<testcase classname="tests.pipelines.test_backends" name="test_features_are_those_of_tensorflow[jax]">
<properties><property name="vgg16 on jax" value="3.4e-06"/></properties></testcase>
</testsuite></testsuites>"""


def test_the_table_says_what_was_found_and_what_failed(tmp_path: Path) -> None:
    (tmp_path / "report.xml").write_text(REPORT)
    page = with_table(f"before\n{BEGIN}\nold\n{END}\nafter", read_results([tmp_path / "report.xml"]))
    assert page.startswith("before\n")
    assert page.endswith("\nafter")
    assert "old" not in page
    (row,) = (line for line in page.splitlines() if line.startswith("| vgg16 |"))
    assert row == "| vgg16 | 14.71 M | 15.3 G | 224 | 512 | – | **no** | 1e-07 at 18 | – | – | – | 3e-06 | – |"
