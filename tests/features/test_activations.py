"""Whatever a source is made of, a view of an example is the same."""

from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest

from backbench.config.dataset_config import NO_AUGMENTATION
from backbench.features.activation_store import StoredActivations, read_activations
from backbench.features.activations import (
    EVALUATION_BATCH_SIZE,
    UNLIMITED_VIEWS,
    Activations,
    ActivationSource,
    ChosenExamples,
    ComputedActivations,
    PreparedImages,
    in_order,
    outputs,
)
from backbench.runtime.errors import ArtifactError
from tests.support.contracts import ActivationSourceContract
from tests.support.tiny import BACKBONE, cut_tiny

NUM_EXAMPLES, NUM_VIEWS = 9, 3
LABELS = np.arange(NUM_EXAMPLES, dtype="int32") % 3
MILD = replace(NO_AUGMENTATION, shift=0.1, rotate_degrees=8.0, brightness=0.2)


@pytest.fixture(scope="module")
def prefix() -> keras.Model:
    return cut_tiny().prefix


@pytest.fixture(scope="module")
def images() -> PreparedImages:
    pixels = np.random.default_rng(0).integers(0, 256, (NUM_EXAMPLES, 24, 24, 3), dtype=np.uint8)
    return PreparedImages(pixels, BACKBONE, MILD, seed=4)


@pytest.fixture(scope="module")
def computed(images: PreparedImages, prefix: keras.Model) -> ComputedActivations:
    return ComputedActivations(images, LABELS, prefix, NUM_VIEWS)


@pytest.fixture(scope="module")
def in_memory(computed: ComputedActivations) -> Activations:
    examples = np.arange(NUM_EXAMPLES)
    return Activations(
        np.stack([computed.take(np.full(NUM_EXAMPLES, view), examples) for view in range(NUM_VIEWS)]), LABELS
    )


@pytest.fixture(scope="module")
def stored(in_memory: Activations, tmp_path_factory: pytest.TempPathFactory) -> StoredActivations:
    folder = tmp_path_factory.mktemp("cell")
    (folder / "stage_out").mkdir()
    np.save(folder / "stage_out/train.npy", in_memory.values)
    return read_activations(folder, "stage_out", "train", LABELS)


@pytest.fixture(scope="module")
def chosen(in_memory: Activations) -> ChosenExamples:
    """The same examples, found among others in another order."""
    others = np.concatenate([in_memory.values, in_memory.values + 1], axis=1)[:, ::-1]
    labels = np.concatenate([LABELS, LABELS])[::-1]
    return ChosenExamples(Activations(others, labels), np.arange(2 * NUM_EXAMPLES)[::-1][:NUM_EXAMPLES], NUM_VIEWS)


class TestSources(ActivationSourceContract):
    @pytest.fixture(params=["in_memory", "stored", "computed", "chosen"])
    def source(self, request: pytest.FixtureRequest) -> ActivationSource:
        return request.getfixturevalue(request.param)  # type: ignore[no-any-return]

    def test_all_kinds_give_the_same(self, source: ActivationSource, in_memory: Activations) -> None:
        views, examples = np.array([2, 0, 1, 2]), np.array([8, 8, 0, 3])
        expected = in_memory.values[views, examples]
        np.testing.assert_allclose(source.take(views, examples), expected, rtol=1e-5, atol=1e-6)
        assert source.num_views == NUM_VIEWS


def test_half_precision_is_read_as_single(in_memory: Activations) -> None:
    half = Activations(in_memory.values.astype("float16"), LABELS)
    assert half.take(np.array([0]), np.array([1])).dtype == np.float32


def test_without_a_prefix_the_prepared_images_come_out(images: PreparedImages) -> None:
    source = ComputedActivations(images, LABELS, None, NUM_VIEWS)
    taken = source.take(np.array([0, 1]), np.array([2, 2]))
    assert taken.shape == (2, 16, 16, 3)
    assert abs(taken).max() <= 1.0
    assert not np.array_equal(taken[0], taken[1])


def test_views_without_end_are_new_and_repeatable(images: PreparedImages) -> None:
    source = ComputedActivations(images, LABELS, None, UNLIMITED_VIEWS)
    views = np.random.default_rng(0).integers(source.num_views, size=20)
    taken = source.take(views, np.zeros(20, dtype=int))
    assert len({view.tobytes() for view in taken}) == 20
    again = source.take(views[::-1], np.zeros(20, dtype=int))
    np.testing.assert_array_equal(again[::-1], taken)


@pytest.mark.parametrize("num_examples", [1, EVALUATION_BATCH_SIZE, EVALUATION_BATCH_SIZE + 1])
def test_every_example_passes_once_in_order_in_batches_of_one_size(num_examples: int) -> None:
    values = np.arange(2 * num_examples, dtype="float32").reshape(2, num_examples, 1)
    source = Activations(values, np.zeros(num_examples, dtype="int32"))
    batches = list(in_order(source, view=1))
    (size,) = {len(batch) for _, batch in batches}
    assert size <= EVALUATION_BATCH_SIZE
    assert 0 <= len(batches) * size - num_examples < len(batches)
    np.testing.assert_array_equal(np.concatenate([batch[:real] for real, batch in batches]), values[1])


def test_outputs_of_an_array_and_of_a_source_are_the_same(in_memory: Activations, stored: StoredActivations) -> None:
    suffix = cut_tiny().suffix
    for view in range(NUM_VIEWS):
        expected = outputs(suffix, in_memory.values[view])
        assert expected.shape == (NUM_EXAMPLES, BACKBONE.feature_dim)
        np.testing.assert_array_equal(outputs(suffix, stored, view=view), expected)


def test_labels_of_other_images_are_refused(stored: StoredActivations, tmp_path: Path) -> None:
    (tmp_path / "output").mkdir()
    np.save(tmp_path / "output/val.npy", np.zeros((1, 4, 2), "float32"))
    with pytest.raises(ArtifactError, match=r"expected 9 examples, found 4; run `dvc repro --force embed`"):
        read_activations(tmp_path, "output", "val", LABELS)
