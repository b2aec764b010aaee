"""The pixels: chosen on val, read on test once, and the same every time."""

import json
import tracemalloc
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from backbench.config.dataset_config import DatasetConfig
from backbench.data.arrays.augment import resized
from backbench.data.arrays.dataset import open_dataset
from backbench.data.arrays.file_formats import write_array
from backbench.data.ingest.store import prepare_dataset
from backbench.evaluation import baseline
from backbench.results.result_files import read_metrics
from backbench.runtime import paths
from backbench.runtime.errors import ArtifactError
from backbench.stages.baseline import baseline as baseline_stage
from tests.support.image_folders import config_for, picture, save

ASSETS = Path(__file__).parents[2] / "assets"
TWO_STRENGTHS = (1e-3, 1e-2)


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DatasetConfig:
    """Prepare pictures of which dark ones are cats, in a folder of their own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(baseline, "INVERSE_REGULARISATIONS", TWO_STRENGTHS)
    for number in range(30):
        save(picture(number).point(lambda level: level // 2), Path("data/cat") / f"{number}.png")
        save(picture(number).point(lambda level: 127 + level // 2), Path("data/dog") / f"{number}.png")
    config = config_for(Path("data"))
    prepare_dataset(config, paths.DATASET)
    return config


def test_it_writes_metrics_of_the_form_of_a_cell(config: DatasetConfig) -> None:
    baseline_stage()
    record = read_metrics(paths.BASELINE / "metrics.json", made_by="baseline")
    assert (record.backbone, record.strategy, record.num_seeds) == ("pixels", "logistic_regression", 1)
    assert record.mean["test_accuracy"] == 1.0
    assert set(record.mean) == {
        "test_accuracy",
        "test_log_loss",
        "test_balanced_accuracy",
        "test_macro_f1",
        "test_macro_auroc",
        "test_ece",
        "test_ece_after_temperature_scaling",
        "temperature",
        "val_accuracy",
        "val_loss",
    }
    assert record.logme is None
    assert set(record.sd.values()) == {None}
    assert record.num_parameters == record.num_trainable_parameters == 3072 + 1


@pytest.mark.parametrize("split", ["val", "test"])
def test_predictions_are_those_of_the_split(config: DatasetConfig, split: str) -> None:
    baseline_stage()
    table = pq.read_table(paths.BASELINE_PREDICTIONS, filters=[("split", "=", split)])
    labels = open_dataset(paths.DATASET).labels[split]
    assert {field.name: str(field.type) for field in table.schema} == {
        "split": "dictionary<values=string, indices=int32, ordered=0>",
        "seed": "int32",
        "position": "int32",
        "label": "int32",
        "p0": "float",
        "p1": "float",
    }
    np.testing.assert_array_equal(table["label"], labels)
    np.testing.assert_array_equal(table["position"], np.arange(len(labels)))
    np.testing.assert_allclose(np.add(table["p0"], table["p1"]), 1, atol=1e-6)


def test_running_again_gives_the_same_bytes(config: DatasetConfig) -> None:
    files = (paths.BASELINE / "metrics.json", paths.BASELINE_PREDICTIONS)
    baseline_stage()
    first = [path.read_bytes() for path in files]
    baseline_stage()
    assert [path.read_bytes() for path in files] == first


def test_its_key_is_that_of_the_arrays_and_of_no_setting_that_changes_none(config: DatasetConfig) -> None:
    """Where prepare gives the same arrays, DVC does not run this stage again."""

    def key_of(**changes: object) -> str:
        prepare_dataset(replace(config, **changes), paths.DATASET)  # type: ignore[arg-type]
        baseline_stage()
        return read_metrics(paths.BASELINE / "metrics.json", made_by="baseline").cell_key

    first = key_of()
    assert key_of(min_size_pixels=9, val_fraction=0.2000001) == first
    assert key_of(train_per_class=3) != first
    assert key_of(image_size_pixels=8) != first


def test_test_labels_do_not_change_the_choice(config: DatasetConfig) -> None:
    baseline_stage()
    path = paths.BASELINE / "metrics.json"
    before = json.loads(path.read_text(encoding="utf-8"))["mean"]
    labels = paths.DATASET / "labels-test.npy"
    write_array(labels, 1 - np.load(labels))
    baseline_stage()
    after = json.loads(path.read_text(encoding="utf-8"))["mean"]
    assert after["val_loss"] == before["val_loss"]
    assert after["test_accuracy"] == 1 - before["test_accuracy"]


def test_the_regularisation_with_the_lowest_val_loss_is_kept() -> None:
    random = np.random.default_rng(0)
    labels = np.repeat(np.arange(3, dtype=np.int32), 20)
    values = random.normal(size=(60, 40)) + labels[:, None] * 0.2
    model = baseline.fit_pixels(values[::2], labels[::2], val_values=values[1::2], val_labels=labels[1::2])
    alone = []
    for strength in baseline.INVERSE_REGULARISATIONS:
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(baseline, "INVERSE_REGULARISATIONS", (strength,))
            one = baseline.fit_pixels(values[::2], labels[::2], val_values=values[1::2], val_labels=labels[1::2])
            alone.append((one.val_loss, strength))
    assert (model.val_loss, model.inverse_regularisation) == min(alone)


def test_images_in_the_number_of_components_lose_nothing_by_them() -> None:
    random = np.random.default_rng(0)
    labels = np.arange(120, dtype=np.int32) % 3
    values = random.normal(size=(120, 300)) + labels[:, None] * 0.2
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(baseline, "INVERSE_REGULARISATIONS", (1e-3,))
        model = baseline.fit_pixels(values[::2], labels[::2], val_values=values[1::2], val_labels=labels[1::2])
    whole = make_pipeline(StandardScaler(), LogisticRegression(C=1e-3)).fit(values[::2], labels[::2])
    found = model.regression.predict_proba(model.projection.transform(values[1::2]))
    np.testing.assert_allclose(found, whole.predict_proba(values[1::2]), atol=1e-4)
    assert model.num_parameters == 3 * (300 + 1)


def test_few_images_are_all_drawn() -> None:
    np.testing.assert_array_equal(baseline.drawn(np.array([1, 0, 1], dtype=np.int32)), [0, 1, 2])


def test_of_many_images_every_class_keeps_its_share_and_at_least_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(baseline, "MOST_IMAGES", 100)
    labels = np.random.default_rng(0).permutation(np.repeat(np.arange(4, dtype=np.int32), [1, 99, 300, 600]))
    rows = baseline.drawn(labels)
    assert np.all(np.diff(rows) > 0)
    assert np.bincount(labels[rows]).tolist() == [1, 9, 30, 60]
    np.testing.assert_array_equal(rows, baseline.drawn(labels))


def test_the_last_line_says_how_many_images_were_fitted_where_not_all_were(
    config: DatasetConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "fitted on" not in baseline_stage()
    num_train = len(open_dataset(paths.DATASET).labels["train"])
    monkeypatch.setattr(baseline, "MOST_IMAGES", 10)
    assert f", fitted on 10 of {num_train} images; metrics" in baseline_stage()


def peak_bytes(folder: Path, num_images: int) -> int:
    """Fit and predict so many images; return what Python and NumPy held at most."""
    shape = (num_images, 64, 64, 3)
    images = np.lib.format.open_memmap(folder / "images.npy", mode="w+", dtype=np.uint8, shape=shape)
    images[:] = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    labels = np.arange(num_images, dtype=np.int32) % 4
    tracemalloc.start()
    rows = baseline.drawn(labels)
    values = baseline.pixel_values(images, rows)
    model = baseline.fit_pixels(values, labels[rows], val_values=values, val_labels=labels[rows])
    baseline.pixel_probabilities(model, images, np.arange(len(images)))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return peak


def test_over_the_bound_more_images_take_no_more_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(baseline, "MOST_IMAGES", 40)
    monkeypatch.setattr(baseline, "CHUNK_IMAGES", 40)
    monkeypatch.setattr(baseline, "INVERSE_REGULARISATIONS", (1e-3,))
    few, many = (peak_bytes(tmp_path, num_images) for num_images in (40, 1000))
    values_bytes = 40 * baseline.NUM_VALUES * 8
    assert values_bytes < few < 8 * values_bytes
    assert many - few < 0.1 * values_bytes


def test_pixels_are_rows_between_zero_and_one() -> None:
    images = np.random.default_rng(0).integers(0, 256, size=(4, 64, 64, 3), dtype=np.uint8)
    values = baseline.pixel_values(images, np.array([2, 0, 3]))
    assert values.shape == (3, 3072)
    np.testing.assert_allclose(values * 255, resized(images[[2, 0, 3]], 32).reshape(3, -1))


def test_pixels_alone_stay_under_half_on_photodigits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # 0.242 was measured; the grid's choice is 1e-3. At 20 images a class, less than 0.5 leaves room for transfer.
    monkeypatch.setattr(baseline, "INVERSE_REGULARISATIONS", (1e-3,))
    prepare_dataset(config_for(ASSETS / "photodigits", image_size_pixels=32, train_per_class=20), tmp_path / "dataset")
    dataset = open_dataset(tmp_path / "dataset")
    values = {
        split: baseline.pixel_values(dataset.images[split], np.arange(len(dataset.labels[split])))
        for split in ("train", "val")
    }
    model = baseline.fit_pixels(
        values["train"], dataset.labels["train"], val_values=values["val"], val_labels=dataset.labels["val"]
    )
    predicted = baseline.pixel_probabilities(
        model, dataset.images["test"], np.arange(len(dataset.images["test"]))
    ).argmax(axis=1)
    assert 0.2 < np.mean(predicted == dataset.labels["test"]) < 0.5


def test_without_prepare_it_says_what_to_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ArtifactError, match="dvc repro prepare"):
        baseline_stage()
