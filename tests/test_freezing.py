import keras
import numpy as np
import pytest

from backbench.backbones.graph import build_graph, preprocess
from backbench.errors import BoundaryError
from backbench.freezing import articulation_points, cut, freeze_batch_norm
from tests.conftest import backbone_config
from tests.tiny import TinyNet

SLIM = ["mobilenet_v2_slim", "resnet50_slim", "inception_v3_slim", "vgg16_slim", "efficientnet_b0_slim"]


def tiny() -> keras.Model:
    return TinyNet(weights=None, include_top=False, pooling="avg", input_shape=(16, 16, 3))


def test_a_tensor_beside_a_branch_is_no_articulation_point() -> None:
    points = articulation_points(tiny())
    assert "stem_out" in points
    assert "stage_out" in points
    assert "branch" not in points
    assert "branch_norm" not in points


@pytest.mark.parametrize("boundary", ["stem_out", "stage_out", "last"])
def test_prefix_and_suffix_recompose(boundary: str) -> None:
    model = tiny()
    halves = cut(model, boundary)
    images = np.random.default_rng(0).normal(size=(4, 16, 16, 3)).astype("float32")
    assert halves.prefix is not None
    assert halves.suffix is not None
    recomposed = halves.suffix.predict_on_batch(halves.prefix.predict_on_batch(images))
    np.testing.assert_allclose(recomposed, model.predict_on_batch(images), atol=1e-5)


@pytest.mark.parametrize("name", SLIM)
def test_every_shipped_backbone_builds_and_is_cut_at_its_last_stage(name: str) -> None:
    config = backbone_config(name)
    model = build_graph(config)
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
