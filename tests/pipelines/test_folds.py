"""A benchmark in three folds, on a tiny backbone: each image passes once, and is tested by models that never saw it."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from backbench.adaptation.strategies import TrainablePart
from backbench.adaptation.training_inputs import TrainingInputs
from backbench.comparison.ranking import read_leaderboard
from backbench.comparison.resampling import inflation_of
from backbench.config.config import CellConfig
from backbench.config.dataset_config import NO_AUGMENTATION
from backbench.data.arrays.dataset import SPLITS, open_dataset
from backbench.data.arrays.file_formats import read_csv, read_json
from backbench.evaluation.metrics import classification_metrics
from backbench.evaluation.predictions import read_predictions
from backbench.export.exported_model import ExportedModel
from backbench.results.model_folder import read_description
from backbench.results.result_files import read_best, read_cell, write_best
from backbench.runtime import paths
from backbench.runtime.digests import file_sha256
from backbench.runtime.errors import ArtifactError
from backbench.runtime.paths import Cell
from backbench.stages.baseline import baseline
from backbench.stages.compare import compare, data_card
from backbench.stages.embed.embed import embed
from backbench.stages.prepare import prepare
from backbench.stages.sweep.sweep import sweep
from backbench.stages.train.train import train
from backbench.tracking.publishing import run_notes
from tests.support.configs import strategy_config
from tests.support.image_folders import config_for
from tests.support.tiny_cell import STRATEGIES, Killed, cell_config_for, dying_once_at, forget

NUM_FOLDS, NUM_IMAGES, SEEDS = 3, 60, (0, 1)


def in_folds(strategy: str) -> CellConfig:
    config = cell_config_for(strategy, seeds=list(SEEDS))
    augmentation = replace(NO_AUGMENTATION, shift=0.1, brightness=0.1)
    return replace(config, dataset=replace(config.dataset, folds=NUM_FOLDS, augmentation=augmentation))


def files_of(cell: Cell) -> dict[str, str]:
    files = [*cell.results.iterdir(), *cell.models.iterdir(), cell.predictions]
    return {path.as_posix(): file_sha256(path) for path in sorted(files)}


def run(config: CellConfig) -> dict[str, str]:
    """Search and train; return the digest of every file that DVC would hash."""
    sweep(config)
    train(config)
    return files_of(config.cell)


@pytest.fixture
def place(workplace: Path) -> Path:
    """The prepared data set of other tests, in folds."""
    prepare(config_for(Path("data"), folds=NUM_FOLDS))
    return workplace


def test_every_view_of_every_image_passes_once_for_all_folds(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = in_folds("fine_tuning")
    embed([config])
    num_views = int(config.strategy.views)
    assert f"embed tiny: {num_views * NUM_IMAGES}/{num_views * NUM_IMAGES} images" in capsys.readouterr().out
    (file,) = config.cell.activations.rglob("*.npy")
    assert file.name == "all.npy"
    assert np.load(file).shape[:2] == (num_views, NUM_IMAGES)
    inputs = TrainingInputs.of(config)
    for fold in range(NUM_FOLDS):
        views = {split: inputs.activations(split, fold=fold).num_views for split in SPLITS}
        assert views == {"train": num_views, "val": 1, "test": 1}, "what is judged is the image itself"


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_cell_in_folds_is_the_same_twice_and_where_it_was_killed(
    strategy: str, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = in_folds(strategy)
    embed([config])
    first = run(config)
    forget()
    for stage, call in ((sweep, 4), (train, 1)):
        with monkeypatch.context() as patch:
            patch.setattr(TrainablePart, "fit", dying_once_at(call))
            with pytest.raises(Killed):
                stage(config)
    assert run(config) == first
    record, choices = read_cell(config.cell), read_cell(config.cell).best.folds
    num_trials = config.search.num_trials
    assert [trial.index for trial in record.trials] == list(range(NUM_FOLDS * num_trials))
    for fold, choice in enumerate(choices):
        own = [trial for trial in record.trials if trial.fold == fold]
        assert choice.trial == min(own, key=lambda trial: trial.val_loss).index
        assert len(own) == num_trials
    assert record.best.choice == min(choices, key=lambda choice: choice.val_loss)
    assert {(seed.seed, epoch.fold) for seed in record.seeds for epoch in seed.history} == {
        (seed, fold) for seed in SEEDS for fold in range(NUM_FOLDS)
    }


def test_no_label_of_a_test_image_decides_its_prediction(place: Path) -> None:
    """Neither its fold's search, nor its choice, nor its models look at it; those of other folds do."""
    config = in_folds("feature_extraction")
    embed([config])
    run(config)
    before, dataset = read_cell(config.cell), open_dataset(paths.DATASET)
    predicted = read_predictions(config.cell.predictions, made_by="train").probabilities
    tested = dataset.rows("test", 0)
    labels = dataset.labels["all"].copy()
    labels[tested] = (labels[tested] + 1) % 3
    np.save(paths.DATASET / "labels-all.npy", labels)
    forget()
    run(config)
    after = read_cell(config.cell)
    for fold in range(NUM_FOLDS):
        trials = [[each for each in record.trials if each.fold == fold] for record in (before, after)]
        assert (trials[0] == trials[1]) == (fold == 0)
    again = read_predictions(config.cell.predictions, made_by="train").probabilities
    np.testing.assert_array_equal(again[:, tested], predicted[:, tested])
    others = np.setdiff1d(np.arange(NUM_IMAGES), tested)
    assert (again[:, others] != predicted[:, others]).any(axis=2).all()


def test_predictions_are_of_all_images_and_metrics_are_measured_on_them(place: Path) -> None:
    config = in_folds("fine_tuning")
    embed([config])
    run(config)
    cell, dataset = config.cell, open_dataset(paths.DATASET)
    record = read_cell(cell)
    for split in ("val", "test"):
        predictions = read_predictions(cell.predictions, "train", split)
        assert np.array_equal(predictions.labels, dataset.labels["all"])
        for place_of_seed, seed in enumerate(record.seeds):
            expected = classification_metrics(predictions.probabilities[place_of_seed], predictions.labels)
            assert seed.metrics[f"{split}_accuracy"] == pytest.approx(expected["accuracy"], abs=1e-9)
            loss = "val_loss" if split == "val" else "test_log_loss"
            assert seed.metrics[loss] == pytest.approx(expected["log_loss"], abs=1e-4)
    # The exported model is that of the fold whose choice was best, of which the others know nothing.
    description = read_description(cell.models, made_by="train")
    assert description.fold == record.best.fold
    rows = dataset.rows("test", description.fold)
    found = ExportedModel(cell.models).probabilities(np.array(dataset.images["all"][rows]))
    tested = read_predictions(cell.predictions, "train").probabilities[SEEDS.index(description.seed)]
    np.testing.assert_allclose(found, tested[rows], atol=5e-3)


def test_a_choice_of_other_folds_names_the_stage_to_run(place: Path) -> None:
    config = in_folds("feature_extraction")
    embed([config])
    sweep(config)
    best = read_best(config.cell)
    write_best(config.cell, replace(best, folds=()))
    with pytest.raises(ArtifactError, match="a choice of every fold of .* found one; run `dvc repro sweep@tiny-"):
        train(config)


VARIANTS: dict[str, dict[str, object]] = {
    "boundaries_to_choose_from": {"boundary": ["last_stage", "stem_out", "output"], "linear_probe_warmup": None},
    "nothing_stored": {"linear_probe_warmup": None, "activation_limit_gigabytes": 0},
    "views_on_the_fly": {"views": "on_the_fly"},
}


@pytest.mark.parametrize("name", VARIANTS)
def test_folds_run_whatever_a_strategy_stores_and_chooses_from(name: str, place: Path) -> None:
    strategy = strategy_config("fine_tuning", **({"epochs": 2, "views": 2} | VARIANTS[name]))
    config = replace(in_folds("fine_tuning"), strategy=strategy)
    embed([config])
    first = run(config)
    record = read_cell(config.cell)
    assert record.metrics.boundary == record.best.choice.boundary
    assert len(record.best.folds) == NUM_FOLDS
    forget()
    assert run(config) == first


def test_the_benchmark_is_compared_on_all_images_and_says_how_many_folds(place: Path) -> None:
    config = in_folds("feature_extraction")
    embed([config])
    run(config)
    baseline()
    compare(config.benchmark, config.tracking)
    summary = read_json(paths.SUMMARY, made_by="compare")
    assert (summary["num_folds"], summary["num_test_images"]) == (NUM_FOLDS, NUM_IMAGES)
    pixels = read_predictions(paths.BASELINE_PREDICTIONS, "baseline")
    assert pixels.probabilities.shape == (1, NUM_IMAGES, 3)
    page = (paths.REPORT / "index.html").read_text(encoding="utf-8")
    assert f"{NUM_FOLDS} folds: each image is tested once per seed" in page
    assert f"multiplied by {inflation_of(NUM_FOLDS):.2f}" in page
    notes = run_notes(read_leaderboard([config.cell]), "", dataset=data_card().content, model_name="tiny")
    assert notes is not None
    fold = read_cell(config.cell).best.fold
    assert f"{NUM_IMAGES} images in {NUM_FOLDS} folds, each tested by models that never saw it" in notes.model_card
    assert f"This is the model of one fold, {fold}," in notes.model_card
    for table in (paths.ALL_TRIALS, paths.ALL_EPOCHS):
        assert {row["fold"] for row in read_csv(table, made_by="compare")} == {"0", "1", "2"}
    chosen = [row for row in read_csv(paths.ALL_TRIALS, made_by="compare") if row["chosen"] == "True"]
    assert [row["fold"] for row in chosen] == ["0", "1", "2"]
