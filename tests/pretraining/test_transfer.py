"""Measuring transfer: honest subsets, a choice that never sees test labels, rows that resume."""

from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest
from omegaconf import OmegaConf
from pretraining.config import FineTuningConfig, TransferConfig
from pretraining.transfer import data as transfer_data
from pretraining.transfer import start as transfer_start
from pretraining.transfer.data import kept_features, named_backbone, named_data
from pretraining.transfer.fine_tuning import FineTuner, prepared_views, ready_from_scratch
from pretraining.transfer.measurements import Key, chosen_rates, from_records, to_records, with_row
from pretraining.transfer.probes import linear_probe, nearest_neighbour
from pretraining.transfer.start import Results
from pretraining.transfer.study import keys_of, starts, transfer
from pretraining.transfer.subsets import FewShotTask, Measurement, TargetData, drawn, few_shot_task
from pretraining.transfer.tables import BEGIN, END

from backbench.backbones.graph import build_graph
from backbench.backbones.weights import save_weights
from backbench.config.backbone_config import BackboneConfig, ShippedWeights
from backbench.config.config import to_typed
from backbench.runtime.digests import file_sha256
from backbench.runtime.errors import ConfigError, DatasetError
from tests.support.configs import PROJECT
from tests.support.tiny import CONSTRUCTOR, FEATURE_DIM, PREPROCESSOR

KEY = Key("digits", "fine_tuning", "tiny", "formula", 20, 1, "a" * 64, "p")
ROW = Measurement(0.003, 0.5, 0.25)


def shipped_config(**changes: object) -> TransferConfig:
    node = OmegaConf.merge(OmegaConf.load(PROJECT / "pretraining/conf/transfer.yaml"), changes)
    for key in ("defaults", "hydra"):
        node.pop(key)
    return to_typed(node, TransferConfig, where="pretraining/conf/transfer.yaml")


@pytest.fixture
def recipe() -> FineTuningConfig:
    return replace(shipped_config().fine_tuning, num_steps=2, batch_size=8, views=2, learning_rates=[1e-3, 1e-2])


@pytest.fixture
def backbone(tmp_path: Path) -> BackboneConfig:
    config = BackboneConfig(
        name="tiny",
        family="tiny",
        constructor=CONSTRUCTOR,
        preprocessor=PREPROCESSOR,
        input_size_pixels=16,
        min_size_pixels=8,
        feature_dim=FEATURE_DIM,
        last_stage_boundary="stage_out",
    )
    return with_formula_weights(config, tmp_path / "tiny.weights.h5", seed=7)


def with_formula_weights(config: BackboneConfig, file: Path, *, seed: int) -> BackboneConfig:
    keras.utils.set_random_seed(seed)
    save_weights(build_graph(config), file)
    return replace(config, formula=ShippedWeights(file=str(file), sha256=file_sha256(file), licence="MIT"))


def coloured_data(name: str = "colours") -> TargetData:
    """Three classes of noise, each brighter in another channel."""
    random = np.random.default_rng(0)
    labels = np.repeat(np.arange(3, dtype=np.int32), 16)
    images = random.integers(0, 120, (48, 16, 16, 3), dtype=np.uint8)
    images[np.arange(48), :, :, labels] += 60
    pool = np.arange(48) % 16 < 10
    return TargetData(name, "d" * 64, images[pool], labels[pool], images[~pool], labels[~pool])


def image_task(data: TargetData, per_class: int = 4) -> FewShotTask:
    return few_shot_task(data, data.pool_images, data.test_images, per_class=per_class, val_per_class=3, seed=0)


def feature_task() -> FewShotTask:
    data = coloured_data()
    flat = [images.reshape(len(images), -1).astype("float32") for images in (data.pool_images, data.test_images)]
    return few_shot_task(data, *flat, per_class=5, val_per_class=4, seed=0)


def with_poisoned_test(task: FewShotTask) -> FewShotTask:
    return replace(task, test_labels=(task.test_labels + 1) % 3)


def test_smaller_subsets_are_part_of_larger_ones_and_val_stays() -> None:
    labels = np.repeat(np.arange(3), 60)
    subsets = {n: drawn(labels, per_class=n, val_per_class=10, seed=3) for n in (5, 10, 50)}
    for n, (train, val) in subsets.items():
        assert np.bincount(labels[train]).tolist() == [n] * 3
        assert not set(train) & set(val)
        np.testing.assert_array_equal(val, subsets[5][1])
    assert set(subsets[5][0]) < set(subsets[10][0]) < set(subsets[50][0])
    other, _ = drawn(labels, per_class=5, val_per_class=10, seed=4)
    assert set(other) != set(subsets[5][0])


def test_a_pool_that_is_too_small_is_refused() -> None:
    with pytest.raises(DatasetError, match="at least 10 images for val and 51 for train, found 60"):
        drawn(np.repeat(np.arange(2), 60), per_class=51, val_per_class=10, seed=0)


@pytest.mark.parametrize("method", [linear_probe, nearest_neighbour])
def test_test_labels_change_the_test_accuracy_and_nothing_else(method) -> None:  # type: ignore[no-untyped-def]
    honest, poisoned = method(feature_task()), method(with_poisoned_test(feature_task()))
    assert (honest.choice, honest.val_accuracy) == (poisoned.choice, poisoned.val_accuracy)
    assert honest.test_accuracy > 0.9
    assert poisoned.test_accuracy < 0.1


def test_fine_tuning_chooses_without_the_test_labels(backbone: BackboneConfig, recipe: FineTuningConfig) -> None:
    results = []
    for task in (image_task(coloured_data()), with_poisoned_test(image_task(coloured_data()))):
        keras.utils.set_random_seed(0)
        tuner = FineTuner(build_graph(backbone), backbone, recipe, from_scratch=False)
        results.append(tuner.measure(task, seed=0))
    assert (results[0].choice, results[0].val_accuracy) == (results[1].choice, results[1].val_accuracy)
    assert results[0].test_accuracy != results[1].test_accuracy


@pytest.mark.parametrize("from_scratch", [False, True], ids=["formula", "scratch"])
def test_batch_norm_trains_from_scratch_only(
    backbone: BackboneConfig, recipe: FineTuningConfig, from_scratch: bool
) -> None:
    model = build_graph(backbone)
    before = {layer.name: [np.array(value) for value in layer.get_weights()] for layer in model.layers}
    FineTuner(model, backbone, recipe, from_scratch=from_scratch).measure(image_task(coloured_data()), seed=0)
    norm, kernel = model.get_layer("branch_norm"), model.get_layer("branch")
    same = [np.array_equal(old, new) for old, new in zip(before[norm.name], norm.get_weights(), strict=True)]
    assert same == [not from_scratch] * 4
    assert not np.array_equal(before[kernel.name][0], kernel.get_weights()[0])


def test_a_drawn_network_is_validated_as_it_is_trained(backbone: BackboneConfig) -> None:
    model = build_graph(backbone)
    images = np.random.default_rng(0).normal(0.0, 40.0, (32, 16, 16, 3)).astype("float32")
    ready_from_scratch(model, images, batch_norm_momentum=0.9)
    norm = keras.Model(model.input, model.get_layer("stem_norm").output).predict_on_batch(images)
    np.testing.assert_allclose(norm.mean(axis=(0, 1, 2)), 0.0, atol=0.02)
    np.testing.assert_allclose(norm.std(axis=(0, 1, 2)), 1.0, atol=0.02)
    assert model.get_layer("stem_norm").momentum == 0.9


def test_the_first_view_is_the_image_itself(backbone: BackboneConfig, recipe: FineTuningConfig) -> None:
    images = coloured_data().pool_images[:2]
    views = prepared_views(images, backbone, recipe.augmentation, num_views=2, seed=0)
    np.testing.assert_allclose(views[0], images / 127.5 - 1.0, atol=1e-3)
    assert not np.array_equal(views[0], views[1])


def test_new_weights_replace_the_rows_of_older_ones() -> None:
    rows = {
        KEY: ROW,
        replace(KEY, method="linear_probe"): ROW,
        replace(KEY, weights="random", weights_sha256="random"): ROW,
        replace(KEY, backbone="other"): ROW,
    }
    newer = replace(KEY, weights_sha256="b" * 64)
    kept = with_row(rows, newer, ROW)
    assert set(kept) == {newer, *list(rows)[2:]}
    assert set(with_row(rows, replace(KEY, protocol="q"), ROW)) == {replace(KEY, protocol="q"), *list(rows)[1:]}
    assert set(with_row(rows, replace(KEY, seed=2), ROW)) == {replace(KEY, seed=2), *rows}


def test_rows_are_read_as_they_were_written() -> None:
    rows = {KEY: ROW, replace(KEY, method="nearest_neighbour"): Measurement(None, 0.5, 0.125)}
    records = [{name: str(value) for name, value in record.items()} for record in to_records(rows)]
    assert from_records(records) == rows


def test_later_seeds_take_the_rate_that_the_first_one_chose() -> None:
    first = replace(KEY, seed=0)
    assert chosen_rates({first: ROW}, KEY, [0, 1]) == [0.003]
    assert chosen_rates({first: ROW}, first, [0, 1]) is None
    assert chosen_rates({first: ROW}, replace(KEY, weights="random"), [0, 1]) is None


def test_an_unknown_method_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"methods\.0: expected 'linear_probe', .* found 'probe'"):
        shipped_config(methods=["probe"])


def test_the_shipped_digits_are_a_pool_of_60_and_a_test_set_of_1197() -> None:
    data = named_data(PROJECT / "conf", "photodigits")
    assert np.bincount(data.pool_labels).tolist() == [60] * 10
    assert data.test_images.shape == (1197, 64, 64, 3)


def test_features_of_another_input_size_preprocessor_code_or_image_are_computed_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, backbone: BackboneConfig
) -> None:
    data = coloured_data()

    def files_with(backbone: BackboneConfig, data: TargetData = data) -> int:
        kept_features(tmp_path / "features", "weights", lambda: build_graph(backbone), backbone, data)
        return len(list((tmp_path / "features").iterdir()))

    assert [files_with(backbone), files_with(backbone)] == [1, 1]
    assert files_with(replace(backbone, input_size_pixels=24)) == 2
    assert files_with(replace(backbone, preprocessor="keras.applications.vgg16.preprocess_input")) == 3
    assert files_with(backbone, replace(data, pool_images=data.pool_images[:, ::2, ::2])) == 4
    monkeypatch.setattr(transfer_data, "code_fingerprint", lambda *modules: "other code")
    assert files_with(backbone) == 5


def test_the_shipped_table_is_of_the_shipped_configuration() -> None:
    """Otherwise the next run would measure all of it again."""
    config, conf = shipped_config(), PROJECT / "conf"
    data = {name: named_data(conf, name) for name in config.datasets}
    backbones = {name: named_backbone(conf, name) for name in config.backbones}
    planned = {key for start, seeds in starts(config, backbones) for key in keys_of(config, start, seeds, data)}
    assert set(Results(PROJECT / config.table).read()) == planned
    sizes = {name: replace(backbone, input_size_pixels=96) for name, backbone in backbones.items()}
    resized = {key for start, seeds in starts(config, sizes) for key in keys_of(config, start, seeds, data)}
    assert not planned & resized


def small_run(tmp_path: Path, recipe: FineTuningConfig) -> TransferConfig:
    config = shipped_config(
        backbones=["tiny"],
        datasets=["colours"],
        fine_tuning_datasets=["colours"],
        per_class=[2, 4],
        fine_tuning_per_class=[4],
        val_per_class=3,
        seeds=[0, 1],
        table=str(tmp_path / "transfer.csv"),
        page=str(tmp_path / "page.md"),
        features=str(tmp_path / "features"),
    )
    return replace(config, fine_tuning=replace(recipe, scratch_learning_rates=[1e-2]))


def test_a_run_fills_the_table_once_and_again_for_new_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, backbone: BackboneConfig, recipe: FineTuningConfig
) -> None:
    monkeypatch.chdir(tmp_path)
    config, data = small_run(tmp_path, recipe), {"colours": coloured_data()}
    page, table = tmp_path / "page.md", Path(config.table)
    page.write_text(f"# Page\n{BEGIN}\n{END}\n")
    line = transfer(config, {"tiny": backbone}, data)
    rows = Results(table).read()
    assert len(rows) == 2 * 2 * (2 * 2 + 1)
    assert line.endswith(f"tables in {page}")
    assert "**colours, fine tuning**" in page.read_text()

    complete = table.read_bytes()
    lines = complete.decode().splitlines(keepends=True)
    table.write_text("".join(lines[:-1]))
    measured: list[Key] = []
    add = Results.add
    monkeypatch.setattr(Results, "add", lambda self, key, value: (measured.append(key), add(self, key, value)))
    transfer(config, {"tiny": backbone}, data)
    assert len(measured) == 1
    assert table.read_bytes() == complete

    newer = with_formula_weights(backbone, tmp_path / "newer.weights.h5", seed=8)
    monkeypatch.setattr(transfer_start, "linear_probe", lambda task: Measurement(1.0, 1.0, 1.0))
    transfer(replace(config, methods=["linear_probe"]), {"tiny": newer}, data)
    kept = Results(table).read()
    assert newer.formula is not None
    formula = [key for key in kept if key.weights == "formula"]
    assert {key.weights_sha256 for key in formula} == {newer.formula.sha256}
    assert {key.method for key in formula} == {"linear_probe"}
    assert {key for key in kept if key.weights == "random"} == {key for key in rows if key.weights == "random"}
