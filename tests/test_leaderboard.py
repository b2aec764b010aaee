"""Rows in the right order, of the right cells, and nothing missing in silence."""

from pathlib import Path

import numpy as np
import pytest

from backbench import artifacts
from backbench.artifacts import Cell
from backbench.errors import ArtifactError
from backbench.findings import summary
from backbench.leaderboard import COLUMNS, cells_of, read_leaderboard
from backbench.predictions import read_predictions, write_predictions
from tests.finished_benchmark import (
    BACKBONES,
    NUM_EPOCHS,
    NUM_TEST,
    NUM_TRIALS,
    SEEDS,
    STRATEGIES,
    cells,
    make_finished_benchmark,
    on_both_splits,
    probabilities,
    write_cell,
)


@pytest.fixture(autouse=True)
def in_a_finished_benchmark(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    make_finished_benchmark()


def test_cells_come_from_the_configuration_in_its_order() -> None:
    assert cells_of(BACKBONES, STRATEGIES) == cells()


def test_rows_are_ranked_by_mean_test_accuracy() -> None:
    rows = read_leaderboard(cells()).rows
    accuracies = [row.test_accuracy_mean for row in rows]
    assert accuracies == sorted(accuracies, reverse=True)
    assert [row.rank for row in rows] == [1, 2, 3, 4, 5]
    assert rows[0].name == "vgg16_slim-fine_tuning"
    assert rows[-1].name == "pixels-logistic_regression"


def test_ties_are_ranked_by_name() -> None:
    for cell in cells():
        write_cell(cell, 0.7, seed=3)
    names = [row.name for row in read_leaderboard(cells()).rows if not row.is_baseline]
    assert names == sorted(names)


def test_a_cell_outside_the_benchmark_is_not_looked_at() -> None:
    write_cell(Cell("left_over", "fine_tuning"), 1.0, seed=9)
    assert all(row.backbone != "left_over" for row in read_leaderboard(cells()).rows)


def test_a_missing_cell_is_an_error_that_names_it() -> None:
    with pytest.raises(ArtifactError, match="dvc repro train@absent-fine_tuning"):
        read_leaderboard([*cells(), Cell("absent", "fine_tuning")])


@pytest.mark.parametrize("path", [cells()[0].predictions, artifacts.BASELINE_PREDICTIONS], ids=["cell", "pixels"])
def test_missing_predictions_are_an_error(path: Path) -> None:
    path.unlink()
    with pytest.raises(ArtifactError, match="dvc repro"):
        read_leaderboard(cells())


def test_predictions_of_another_run_are_refused() -> None:
    random = np.random.default_rng(5)
    write_predictions(cells()[0].predictions, on_both_splits({seed: probabilities(random, 0.1) for seed in SEEDS}))
    with pytest.raises(ArtifactError, match=r"as in metrics\.json"):
        read_leaderboard(cells())


def test_a_row_says_what_was_chosen_and_how_sure_it_is() -> None:
    best = read_leaderboard(cells()).best
    row, record = best.row, best.record
    assert record is not None
    assert row.test_accuracy_low < row.test_accuracy_mean < row.test_accuracy_high
    assert row.learning_rate == record.best.choice.learning_rate
    assert row.learning_rate_at_edge == "low"
    assert (row.num_trials, row.num_seeds, row.weights) == (NUM_TRIALS, len(SEEDS), "formula")
    assert (row.num_pruned, row.num_epochs) == (1, NUM_TRIALS * NUM_EPOCHS)


def test_pixels_have_no_search_and_no_spread() -> None:
    row = read_leaderboard(cells()).baseline.row
    assert (row.learning_rate, row.num_trials, row.test_accuracy_sd) == (None, None, None)


def test_the_best_is_compared_over_the_same_images() -> None:
    entries = read_leaderboard(cells()).entries
    assert entries[0].behind is None
    for entry in entries[1:]:
        assert entry.behind is not None
        gap = entries[0].row.test_accuracy_mean - entry.row.test_accuracy_mean
        assert entry.behind.difference.estimate == pytest.approx(gap, abs=1e-6)


def test_every_two_rows_are_compared_the_better_one_first() -> None:
    leaderboard = read_leaderboard(cells())
    assert len(leaderboard.comparisons) == 5 * 4 // 2
    assert all(pair.difference.estimate >= 0 for pair in leaderboard.comparisons)
    assert all(pair.adjusted_p_value >= pair.p_value for pair in leaderboard.comparisons)


def test_a_clear_best_is_tied_with_nobody_and_equal_cells_with_each_other() -> None:
    assert [row.name for row in read_leaderboard(cells()).tied] == ["vgg16_slim-fine_tuning"]
    for seed, cell in enumerate(cells()):
        write_cell(cell, 0.7, seed=seed)
    assert {row.name for row in read_leaderboard(cells()).tied} == {str(cell) for cell in cells()}


def test_summary_names_best_baseline_counts_and_every_cell() -> None:
    content = summary(read_leaderboard(cells()))
    assert content["best"]["backbone"] == "vgg16_slim"
    assert content["num_cells"] == 4
    assert content["num_test_images"] == NUM_TEST
    assert set(content["test_accuracy_mean"]) == {*BACKBONES, "pixels"}


def test_predictions_are_read_by_seed_and_position() -> None:
    predictions = read_predictions(cells()[0].predictions, made_by="train")
    assert predictions.seeds == SEEDS
    assert predictions.probabilities.shape == (len(SEEDS), NUM_TEST, 3)
    assert predictions.probabilities.dtype == np.float32


def test_columns_are_those_of_the_contract() -> None:
    assert ",".join(COLUMNS) == (
        "rank,backbone,strategy,weights,is_tied,test_accuracy_mean,test_accuracy_sd,test_accuracy_low,"
        "test_accuracy_high,test_balanced_accuracy_mean,test_macro_f1_mean,test_top_5_accuracy_mean,"
        "test_macro_auroc_mean,test_log_loss_mean,test_calibration_error_mean,test_scaled_calibration_error_mean,"
        "val_accuracy_mean,learning_rate,weight_decay,learning_rate_at_edge,num_trials,num_pruned,num_epochs,num_seeds,"
        "num_parameters,num_trainable_parameters,num_macs,model_bytes,enlarged_share"
    )
