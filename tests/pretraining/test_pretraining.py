"""Pretraining: a run that was cut short and resumed ends in the bytes of one that was not."""

from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest
from mlflow import MlflowClient
from pretraining.config import PretrainConfig, SourceAugmentationConfig
from pretraining.formula import mixture, scenes
from pretraining.formula.cache import SourceImages, source_images
from pretraining.model_card import record, write_curve
from pretraining.runs import SourceRun
from pretraining.source_batches import SourceBatches, labels_of
from pretraining.source_training import Folders, Outcome, SourceRecord, pretrain, run_fingerprint
from pretraining.unit_scale import has_batch_norm, scale_to_unit

from backbench.backbones.graph import build_graph
from backbench.config.backbone_config import BackboneConfig
from backbench.config.running_config import TrackingConfig
from backbench.runtime.digests import file_sha256
from backbench.runtime.errors import ConfigError
from backbench.runtime.source_code import imported_modules
from pretraining import source_training

STILL = SourceAugmentationConfig(shift_pixels=0, permute_channels=False, invert_share=0.0)
RECIPE = PretrainConfig(
    image_size_pixels=32,
    num_images=24,
    num_val_images=8,
    batch_size=8,
    steps=4,
    learning_rate=1e-3,
    weight_decay=0.01,
    warmup_steps=2,
    batch_norm_momentum=0.9,
    easy_share=0.2,
    augmentation=SourceAugmentationConfig(shift_pixels=2, permute_channels=True, invert_share=0.5),
    label_smoothing=0.0,
    checkpoint_every_steps=3,
    num_threads=1,
    seed=0,
)


def tiny_network(*, weights: None, include_top: bool, pooling: str, input_shape: tuple[int, int, int]) -> keras.Model:
    """Build a network that holds every kind of state: kernels, running statistics and a random generator."""
    layers = [
        keras.Input(input_shape),
        keras.layers.Conv2D(8, 3, strides=4),
        keras.layers.BatchNormalization(),
        keras.layers.ReLU(),
        keras.layers.Dropout(0.3),
        keras.layers.GlobalAveragePooling2D(),
    ]
    image = output = layers[0]
    for layer in layers[1:]:
        output = layer(output)
    return keras.Model(image, output)


@pytest.fixture(scope="module")
def backbone() -> BackboneConfig:
    return BackboneConfig(
        name="tiny",
        family="tiny",
        constructor=f"{__name__}.tiny_network",
        preprocessor="keras.applications.mobilenet_v2.preprocess_input",
        input_size_pixels=32,
        min_size_pixels=8,
        feature_dim=8,
        last_stage_boundary="none",
    )


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scenes, "NUM_SCENES", 3)
        for seed, count in ((0, 24), (1_000_003, 8), (1, 24), (1_000_004, 8)):
            source_images(folder, seed=seed, count=count, size=32, processes=1)
    scenes._pool.cache_clear()
    return folder


def _run(
    cache: Path, root: Path, backbone: BackboneConfig, recipe: PretrainConfig, stop_after: int | None = None
) -> Outcome | None:
    return pretrain(backbone, recipe, Folders(cache, root / "state", root / "weights"), stop_after=stop_after)


def test_a_resumed_run_ends_in_the_same_bytes(cache: Path, tmp_path: Path, backbone: BackboneConfig) -> None:
    whole = _run(cache, tmp_path / "whole", backbone, RECIPE)
    assert _run(cache, tmp_path / "cut", backbone, RECIPE, stop_after=2) is None
    resumed = _run(cache, tmp_path / "cut", backbone, RECIPE)
    other = _run(cache, tmp_path / "other", backbone, replace(RECIPE, seed=1))
    assert whole is not None
    assert resumed is not None
    assert other is not None
    assert whole.sha256 == resumed.sha256 == file_sha256(whole.weights)
    assert other.sha256 != whole.sha256
    build_graph(backbone).load_weights(whole.weights)


@pytest.mark.parametrize("part", ["code_fingerprint", "deciding_versions"])
def test_a_run_of_other_code_or_versions_is_another_run(
    monkeypatch: pytest.MonkeyPatch, backbone: BackboneConfig, part: str
) -> None:
    key = run_fingerprint(backbone, RECIPE)
    monkeypatch.setattr(source_training, part, lambda *modules: "other")
    assert run_fingerprint(backbone, RECIPE) != key


def test_the_curve_survives_a_kill(cache: Path, tmp_path: Path, backbone: BackboneConfig) -> None:
    whole = _run(cache, tmp_path / "whole", backbone, RECIPE)
    _run(cache, tmp_path / "cut", backbone, RECIPE, stop_after=3)
    resumed = _run(cache, tmp_path / "cut", backbone, RECIPE)
    assert whole is not None
    assert resumed is not None
    assert [record.step for record in whole.curve] == [3, 4]
    assert resumed.curve == whole.curve
    assert (whole.curve[-1].step, whole.curve[-1].val_accuracy) == (4, whole.val_accuracy)


def test_drawn_images_are_resized_to_the_input(cache: Path, tmp_path: Path, backbone: BackboneConfig) -> None:
    larger = replace(backbone, input_size_pixels=48)
    outcome = _run(cache, tmp_path, larger, RECIPE)
    assert outcome is not None
    assert outcome.steps == 4


@pytest.fixture
def numbered() -> SourceImages:
    images = np.random.default_rng(0).integers(0, 256, (24, 32, 32, 3), dtype=np.uint8)
    return SourceImages(images, np.arange(24, dtype=np.int32))


def test_a_batch_depends_on_its_step_only(numbered: SourceImages) -> None:
    recipe = replace(RECIPE, steps=15)  # the first three steps, a fifth of them, see easy images only
    first, second = SourceBatches(numbered, recipe), SourceBatches(numbered, recipe)
    labels = [first.at(step)[1] for step in range(9)]
    assert mixture.is_easy(np.concatenate(labels[:3])).all()
    assert sorted(np.concatenate(labels[3:6])) == list(range(24))
    np.testing.assert_array_equal(first.at(4)[0], second.at(4)[0])
    assert not np.array_equal(labels[7], labels[4])


def test_an_image_is_seen_in_several_ways(numbered: SourceImages) -> None:
    plain = replace(RECIPE, augmentation=STILL)
    same, labels = SourceBatches(numbered, plain).at(0)
    np.testing.assert_array_equal(same, numbered.images[labels])
    negatives, labels = SourceBatches(numbered, replace(plain, augmentation=replace(STILL, invert_share=1.0))).at(0)
    np.testing.assert_array_equal(negatives, 255 - numbered.images[labels])
    permuted, labels = SourceBatches(numbered, replace(plain, augmentation=replace(STILL, permute_channels=True))).at(0)
    assert not np.array_equal(permuted, numbered.images[labels])
    np.testing.assert_array_equal(np.sort(permuted), np.sort(numbered.images[labels]))


def test_only_the_named_parts_are_used(cache: Path) -> None:
    source = source_images(cache, seed=0, count=24, size=32)
    recipe = replace(RECIPE, batch_size=2, easy_share=0.0, parts=["glyphs"])
    seen = np.concatenate([SourceBatches(source, recipe).at(step)[1] for step in range(12)])
    assert set(seen) <= set(labels_of(["glyphs"]))
    assert set(seen) < set(source.labels)


def test_labels_of_all_parts_are_all_labels() -> None:
    names = [part.name for part in mixture.PARTS]
    np.testing.assert_array_equal(labels_of(names), np.arange(mixture.num_classes()))


def test_an_unknown_part_is_refused(numbered: SourceImages) -> None:
    with pytest.raises(ConfigError, match="glyphs"):
        SourceBatches(numbered, replace(RECIPE, parts=["letters"]))


def test_too_few_images_are_refused(numbered: SourceImages) -> None:
    with pytest.raises(ConfigError, match="at least 32 images"):
        SourceBatches(numbered, replace(RECIPE, batch_size=32))


def test_a_network_without_normalization_starts_at_unit_scale() -> None:
    keras.utils.set_random_seed(0)
    layers = [keras.layers.Conv2D(8, 3, activation="relu", name=name) for name in ("first", "second")]
    image = keras.Input((12, 12, 3))
    model = keras.Model(image, layers[1](layers[0](image)))
    batch = np.random.default_rng(0).normal(0.0, 60.0, (16, 12, 12, 3)).astype(np.float32)
    assert not has_batch_norm(model)
    scale_to_unit(model, batch)
    assert np.sqrt(np.mean(np.asarray(model(batch)) ** 2)) == pytest.approx(1.0, abs=1e-3)


def test_a_card_keeps_one_row_per_backbone(tmp_path: Path) -> None:
    card = tmp_path / "README.md"
    outcome = Outcome(Path("x"), "ab", 4, 32, 0.5, 2.0)
    record(card, "one", RECIPE, outcome)
    record(card, "two", RECIPE, outcome)
    record(card, "one", RECIPE, replace(outcome, steps=5))
    rows = [line for line in card.read_text(encoding="utf-8").splitlines() if line.startswith(("| one", "| two"))]
    assert [row.split("|")[2].strip() for row in rows] == ["4", "5"]


def test_a_curve_is_written_as_it_was_measured(tmp_path: Path) -> None:
    write_curve(tmp_path / "curve.csv", [SourceRecord(50, 4.25, None), SourceRecord(100, 3.5, 0.25)])
    assert (tmp_path / "curve.csv").read_text(encoding="utf-8").splitlines()[1:] == ["50,4.2500,", "100,3.5000,0.250"]


def test_a_run_is_named_by_the_code_of_its_recipe_and_of_what_it_trains_with() -> None:
    own = imported_modules(Path(source_training.__file__), source_training.OWN)
    assert {"mixture", "ink", "source_batches"} <= {file.stem for file in own}
    product = frozenset[Path]().union(*(imported_modules(file) for file in own))
    assert {"graph", "schedule", "augment"} <= {file.stem for file in product}


def test_a_curve_that_is_logged_again_adds_the_points_that_are_new(tmp_path: Path) -> None:
    tracking = TrackingConfig(uri=f"sqlite:///{tmp_path}/mlflow.db", experiment="tests")
    first = [SourceRecord(1, 4.0, None), SourceRecord(2, 3.0, 0.5)]
    SourceRun(tracking, "a1", "tiny", {"steps": 3, "augmentation": {"shift": 1}}).log(first)
    curve = (*first, SourceRecord(3, 2.0, 0.75))
    SourceRun(tracking, "a1", "tiny", {"steps": 3, "augmentation": {"shift": 1}}).finish(
        Outcome(Path("tiny.h5"), "ab" * 32, 3, 24, 0.75, 1.5, curve)
    )
    client = MlflowClient(tracking.uri)
    (run,) = client.search_runs([client.get_experiment_by_name("tests").experiment_id])
    assert run.data.params == {"steps": "3", "augmentation.shift": "1"}
    assert [point.value for point in client.get_metric_history(run.info.run_id, "source_train_loss")] == [4.0, 3.0, 2.0]
    assert run.data.metrics["source_val_accuracy"] == 0.75
    assert (run.data.tags["backbench.weights_sha256"], run.info.status) == ("ab" * 32, "FINISHED")
