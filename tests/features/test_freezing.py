import keras
import numpy as np
import pytest

from backbench.backbones.graph import build_graph, preprocess
from backbench.config.backbone_config import BackboneConfig
from backbench.features.freezing import cut, freeze_batch_norm, resolve_boundary, tapped_prefix
from backbench.runtime.errors import BoundaryError
from tests.support.configs import backbone_config, strategy_config
from tests.support.tiny import TinyNet

# C4 of ResNet50 is conv4_block6_out: https://arxiv.org/abs/1612.03144.
STAGE_4 = {
    "mobilenet_v2_slim": "block_13_expand_relu",
    "resnet50_slim": "conv4_block6_out",
    "inception_v3_slim": "mixed7",
    "vgg16_slim": "block5_conv3",
    "efficientnet_b0_slim": "block6a_expand_activation",
}


def tiny() -> keras.Model:
    return TinyNet(weights=None, include_top=False, pooling="avg", input_shape=(16, 16, 3))


@pytest.mark.parametrize("boundary", ["stem_out", "stage_out", "last"])
def test_prefix_and_suffix_recompose(boundary: str) -> None:
    model = tiny()
    halves = cut(model, boundary)
    images = np.random.default_rng(0).normal(size=(4, 16, 16, 3)).astype("float32")
    assert halves.prefix is not None
    assert halves.suffix is not None
    recomposed = halves.suffix.predict_on_batch(halves.prefix.predict_on_batch(images))
    np.testing.assert_allclose(recomposed, model.predict_on_batch(images), atol=1e-5)


LARGE = {"resnet50_slim", "inception_v3_slim", "efficientnet_b0_slim"}
SHIPPED = [pytest.param(name, marks=[pytest.mark.system] if name in LARGE else []) for name in STAGE_4]


@pytest.fixture(scope="module", params=SHIPPED)
def shipped(request: pytest.FixtureRequest) -> tuple[BackboneConfig, keras.Model]:
    config = backbone_config(request.param)
    return config, build_graph(config)


def test_every_shipped_backbone_builds_and_is_cut_at_its_last_stage(
    shipped: tuple[BackboneConfig, keras.Model],
) -> None:
    config, model = shipped
    halves = cut(model, config.last_stage_boundary)
    images = preprocess(config, np.full((1, config.input_size_pixels, config.input_size_pixels, 3), 128, "uint8"))
    assert halves.prefix is not None
    assert halves.suffix is not None
    recomposed = np.asarray(halves.suffix(halves.prefix(images)))
    np.testing.assert_allclose(recomposed, np.asarray(model(images)), atol=1e-5)
    assert 0 < halves.suffix.count_params() < model.count_params()


def test_an_impossible_boundary_names_the_possible_ones() -> None:
    with pytest.raises(BoundaryError, match=r"found 'branch'.*stem_out.*stage_out"):
        cut(tiny(), "branch")


def test_at_the_output_nothing_is_left_to_train() -> None:
    halves = cut(tiny(), "output")
    assert halves.suffix is None


TINY = backbone_config("resnet50_slim", last_stage_boundary="stage_out")


@pytest.mark.parametrize(
    ("boundary", "place"),
    [
        ("output", "output"),
        ("input", "input"),
        ("last_stage", "stage_out"),
        ("last_norm", "last_norm"),
        ("stage_1", "last_norm"),
        ("unfreeze=0", "output"),
        ("unfreeze=0.1", "output"),
        ("unfreeze=0.3", "drop"),
        ("unfreeze=0.5", "drop"),  # a third and two thirds are equally near: the higher
        ("unfreeze=0.51", "stem_out"),
        ("unfreeze=0.9", "input"),
        ("unfreeze=1", "input"),
    ],
)
def test_a_boundary_is_resolved_to_a_place_in_the_model(boundary: str, place: str) -> None:
    """TinyNet has three layers with a kernel: stem, branch (in a block with a shortcut), last."""
    assert resolve_boundary(tiny(), TINY, boundary) == place


@pytest.mark.parametrize(
    "boundary", ["branch", "pool", "stage_2", "stage_0", "stage_None", "unfreeze=1.5", "unfreeze=half", "unfreeze=1/0"]
)
def test_what_cannot_be_resolved_names_layers_and_stages_in_one_line(boundary: str) -> None:
    message = rf"found '{boundary}'; use output, last_stage, input, .* \(stage_1\) or a layer: stem, .*last_norm$"
    with pytest.raises(BoundaryError, match=message):
        resolve_boundary(tiny(), TINY, boundary)


def test_stage_4_of_a_shipped_backbone_is_the_last_place_at_a_sixteenth(
    shipped: tuple[BackboneConfig, keras.Model],
) -> None:
    config, model = shipped
    assert resolve_boundary(model, config, "stage_4") == STAGE_4[config.name]


def test_a_strategy_is_cut_where_its_share_lies() -> None:
    strategy = strategy_config("fine_tuning", boundary=None, unfreeze=0.3)
    assert resolve_boundary(tiny(), TINY, *strategy.boundaries) == "drop"


def test_one_pass_computes_every_boundary_in_the_order_given() -> None:
    model = tiny()
    images = np.random.default_rng(0).normal(size=(4, 16, 16, 3)).astype("float32")
    names = ["stage_out", "input", "output", "stem_out"]
    tapped = tapped_prefix(model, names).predict_on_batch(images)
    assert [values.shape for values in tapped] == [(4, 8, 8, 8), (4, 16, 16, 3), (4, 8), (4, 8, 8, 8)]
    np.testing.assert_array_equal(tapped[1], images)
    expected = model.predict_on_batch(images)
    np.testing.assert_allclose(tapped[2], expected, atol=1e-6)
    for name, values in [(names[0], tapped[0]), (names[3], tapped[3])]:
        halves = cut(model, name)
        assert halves.prefix is not None
        assert halves.suffix is not None
        np.testing.assert_allclose(values, halves.prefix.predict_on_batch(images), atol=1e-6)
        np.testing.assert_allclose(halves.suffix.predict_on_batch(values), expected, atol=1e-6)


def test_a_single_boundary_is_computed_bare() -> None:
    images = np.zeros((4, 16, 16, 3), "float32")
    assert tapped_prefix(tiny(), ["last_norm"]).predict_on_batch(images).shape == (4, 8, 8, 8)


def test_an_unresolved_boundary_is_not_tapped() -> None:
    with pytest.raises(BoundaryError, match="found 'last_stage'"):
        tapped_prefix(tiny(), ["output", "last_stage"])


def test_batch_norm_is_frozen_inside_nested_models_too() -> None:
    inner = keras.Sequential([keras.layers.Conv2D(4, 1), keras.layers.BatchNormalization()])
    images = keras.Input((8, 8, 3))
    model = keras.Model(images, inner(images))
    freeze_batch_norm(model)
    assert [variable.path.split("/")[-1] for variable in model.trainable_variables] == ["kernel", "bias"]


@pytest.mark.parametrize(("frozen", "moves"), [(True, False), (False, True)])
def test_batch_norm_statistics_move_under_training_unless_frozen(frozen: bool, moves: bool) -> None:
    """Shown for `training=False` as well: that argument alone does not stop them (Keras issue 20285)."""
    backbone = tiny()
    if frozen:
        freeze_batch_norm(backbone)
    images = keras.Input((16, 16, 3))
    model = keras.Model(images, keras.layers.Dense(3)(backbone(images, training=False)))
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True), jit_compile=False)
    norm = backbone.get_layer("last_norm")
    before = [keras.ops.convert_to_numpy(variable) for variable in (norm.moving_mean, norm.moving_variance, norm.gamma)]
    random = np.random.default_rng(0)
    model.train_on_batch(random.normal(size=(8, 16, 16, 3)).astype("float32"), random.integers(3, size=8))
    after = [keras.ops.convert_to_numpy(variable) for variable in (norm.moving_mean, norm.moving_variance, norm.gamma)]
    assert any(not np.array_equal(a, b) for a, b in zip(before, after, strict=True)) == moves
