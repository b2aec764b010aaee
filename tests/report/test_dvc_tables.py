"""Long tables for DVC's plots, and few numbers for its metrics."""

from pathlib import Path

import pytest

from backbench.comparison.leaderboard import Leaderboard
from backbench.comparison.ranking import read_leaderboard
from backbench.report import dvc_tables
from backbench.report.dvc_tables import confusion_rows, epoch_rows, scores, trial_rows
from tests.support.finished_benchmark import (
    CLASSES,
    NUM_EPOCHS,
    NUM_TEST,
    NUM_TRIALS,
    SEEDS,
    cells,
    make_finished_benchmark,
)


@pytest.fixture(autouse=True)
def in_a_finished_benchmark(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    make_finished_benchmark()


def leaderboard() -> Leaderboard:
    return read_leaderboard(cells())


def test_every_trial_is_a_row_and_one_of_each_cell_is_chosen() -> None:
    rows = list(trial_rows(leaderboard()))
    assert len(rows) == len(cells()) * NUM_TRIALS
    assert sum(row["chosen"] for row in rows) == len(cells())
    assert (rows[0]["backbone"], rows[0]["strategy"]) == ("vgg16_slim", "fine_tuning")
    assert {tuple(row) for row in rows} == {dvc_tables.TRIAL_TABLE_COLUMNS}


def test_every_epoch_of_every_seed_is_a_row() -> None:
    rows = list(epoch_rows(leaderboard()))
    assert len(rows) == len(cells()) * len(SEEDS) * NUM_EPOCHS
    assert {tuple(row) for row in rows} == {dvc_tables.EPOCH_TABLE_COLUMNS}


def test_confusion_is_of_the_chosen_row_and_counts_every_image_of_every_seed() -> None:
    rows = list(confusion_rows(leaderboard(), CLASSES))
    assert {(row["backbone"], row["strategy"]) for row in rows} == {("vgg16_slim", "fine_tuning")}
    assert sum(row["count"] for row in rows) == NUM_TEST * len(SEEDS)
    right = sum(row["count"] for row in rows if row["actual"] == row["predicted"])
    assert right / (NUM_TEST * len(SEEDS)) == pytest.approx(leaderboard().chosen.row.test_accuracy_mean)


def test_more_classes_than_can_be_read_are_not_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dvc_tables, "MOST_CLASSES", 2)
    assert list(confusion_rows(leaderboard(), CLASSES)) == []


def test_a_line_of_the_metrics_is_that_of_the_leaderboard() -> None:
    chosen, baseline = leaderboard().chosen.row, leaderboard().baseline.row
    assert scores(chosen)["test_accuracy"] == chosen.test_accuracy_mean
    assert scores(chosen)["val_loss"] == chosen.val_loss_mean
    assert (scores(chosen)["rank"], scores(chosen)["test_rank"]) == (1, 1)
    assert scores(chosen)["trained"] == 1_539
    assert scores(baseline)["learning_rate"] is None
