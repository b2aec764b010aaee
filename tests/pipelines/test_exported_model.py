"""The exported model is the one that was measured, and needs its own folder only."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from backbench.config.dataset_config import Resize
from backbench.data.arrays.file_formats import write_json
from backbench.data.ingest.deep import scaled
from backbench.data.ingest.pixels import PixelRule
from backbench.evaluation.predictions import read_predictions
from backbench.export.exported_model import ExportedModel
from backbench.results.model_folder import DESCRIPTION, FROZEN, read_description, seed_file
from backbench.results.result_files import read_cell
from backbench.runtime import paths
from backbench.runtime.atomic_files import write_text
from backbench.runtime.errors import DatasetError, WeightsError
from backbench.runtime.paths import Cell
from backbench.stages.prepare import prepare
from tests.support.configs import strategy_config
from tests.support.image_folders import deep_png
from tests.support.tiny_cell import STRATEGIES, cell_config_for, run_cell

RESIZES: tuple[Resize, ...] = ("crop", "pad", "squash")
# Activations of `fine_tuning` are stored as float16, whose rounding is 2^-11 of a value.
TOLERANCE = {"feature_extraction": 1e-5, "fine_tuning": 5e-3}


def moved_away(cell: Cell, tmp_path: Path) -> Path:
    """Take what was exported elsewhere, and the rest of the working folder away."""
    description = read_description(cell.models, made_by="train")
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    for name in (DESCRIPTION, *description.files):
        shutil.copy(cell.models / name, folder)
    for path in (Path("models"), Path("results"), paths.DATASET.parent):
        shutil.rmtree(path)
    return folder


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_its_probabilities_are_the_predictions_that_were_measured(
    strategy: str, finished: Callable[[str], object], tmp_path: Path
) -> None:
    finished(strategy)
    cell = Cell("tiny", strategy)
    predictions = read_predictions(cell.predictions, made_by="train")
    images = np.array(np.load(paths.DATASET / "images-test.npy"))
    seeds = read_cell(cell).seeds
    best = min(seeds, key=lambda record: record.metrics["val_loss"]).seed
    assert read_description(cell.models, made_by="train").seed == best
    found = ExportedModel(moved_away(cell, tmp_path)).probabilities(images)
    expected = predictions.probabilities[predictions.seeds.index(best)]
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=TOLERANCE[strategy])
    other = predictions.probabilities[1 - predictions.seeds.index(best)]
    assert np.abs(found - other).max() > TOLERANCE[strategy]


def test_where_nothing_is_frozen_what_trained_is_the_whole_model(workplace: Path, tmp_path: Path) -> None:
    strategy = strategy_config("fine_tuning", boundary="input", epochs=2, views=2, linear_probe_warmup=None)
    config = replace(cell_config_for("fine_tuning", seeds=[0]), strategy=strategy)
    cell = Cell("tiny", "fine_tuning")
    stale = cell.models / FROZEN
    write_text(stale, "of another boundary")
    run_cell(config)
    assert not stale.exists()
    predictions = read_predictions(cell.predictions, made_by="train")
    images = np.array(np.load(paths.DATASET / "images-test.npy"))
    found = ExportedModel(moved_away(cell, tmp_path)).probabilities(images)
    np.testing.assert_allclose(found, predictions.probabilities[0], atol=TOLERANCE["fine_tuning"])


def prepared_by(**changes: object) -> Path:
    """Prepare the images in another way, run a cell on them, and return its models."""
    config = cell_config_for("feature_extraction", seeds=[0])
    config = replace(config, dataset=replace(config.dataset, **changes))
    prepare(config.dataset)
    run_cell(config)
    return Cell("tiny", "feature_extraction").models


@pytest.mark.parametrize("resize", ["crop", "pad", "squash"])
def test_images_of_another_size_are_squared_as_prepare_does(resize: Resize, workplace: Path) -> None:
    write_json(paths.IMAGE_SIZE, {"wanted_pixels": 12})
    model = ExportedModel(prepared_by(resize=resize, image_size_pixels=None))
    wide = np.random.default_rng(0).integers(0, 256, (2, 40, 60, 3), dtype=np.uint8)
    squares = {
        each: np.stack([np.asarray(PixelRule(12, each, None).square(Image.fromarray(image))) for image in wide])
        for each in RESIZES
    }
    np.testing.assert_array_equal(model.probabilities(wide), model.probabilities(squares[resize]))
    for other in set(RESIZES) - {resize}:
        assert (model.probabilities(wide) != model.probabilities(squares[other])).any()
    with pytest.raises(DatasetError, match=r"expected uint8 RGB images \(n, height, width, 3\), found float64"):
        model.probabilities(wide / 255)
    with pytest.raises(DatasetError, match=r"expected uint8 RGB images \(n, height, width, 3\), found uint16"):
        model.probabilities(wide.astype(np.uint16))


def test_deep_images_are_scaled_by_the_data_sets_depth(workplace: Path) -> None:
    for file in Path("data").glob("*/*.png"):
        with Image.open(file) as image:
            values = np.asarray(image).astype(np.uint16) * 16
        file.write_bytes(deep_png(values))
    model = ExportedModel(prepared_by())
    deep = np.random.default_rng(0).integers(0, 4096, (2, 16, 16, 3)).astype(np.uint16)
    np.testing.assert_array_equal(model.probabilities(deep), model.probabilities(scaled(deep, 12)))
    assert model.probabilities(scaled(deep, 12)).shape == (2, 3)
    with pytest.raises(DatasetError, match="expected uint8 or uint16 RGB images"):
        model.probabilities(deep.astype(np.int32))


@pytest.mark.parametrize("is_frozen", [True, False], ids=["frozen", "trained"])
def test_weights_that_are_not_the_described_ones_are_refused(
    is_frozen: bool, finished: Callable[[str], object]
) -> None:
    finished("fine_tuning")
    folder = Cell("tiny", "fine_tuning").models
    name = FROZEN if is_frozen else seed_file(read_description(folder, made_by="train").seed)
    content = bytearray((folder / name).read_bytes())
    content[-1] ^= 1
    (folder / name).write_bytes(content)
    with pytest.raises(WeightsError, match=rf"{name}: expected SHA-256 [0-9a-f]{{64}}, found [0-9a-f]{{64}}; run"):
        ExportedModel(folder)
    (folder / name).unlink()
    with pytest.raises(WeightsError, match=rf"{name}: expected SHA-256 [0-9a-f]{{64}}, found no file; run"):
        ExportedModel(folder)
