"""The tables of results/, long ones for DVC's plots among them, and few numbers for its metrics."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from backbench.comparison import tables
from backbench.comparison.leaderboard import Leaderboard
from backbench.comparison.ranking import read_leaderboard
from backbench.comparison.tables import TABLES, confusion_rows, scores
from tests.support.finished_benchmark import NUM_EPOCHS, NUM_TEST, NUM_TRIALS, SEEDS, cells, make_finished_benchmark


@pytest.fixture(autouse=True)
def in_a_finished_benchmark(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    make_finished_benchmark()


def leaderboard() -> Leaderboard:
    return read_leaderboard(cells())


def written(name: str) -> list[Mapping[str, Any]]:
    """The rows of a table, whose columns are those that it declares."""
    (table,) = (table for table in TABLES if table.path.name == name)
    rows = list(table.rows(leaderboard()))
    assert {tuple(row) for row in rows} == {table.columns_of(leaderboard())}
    return rows


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.path.name)
def test_every_table_has_rows_of_its_columns(table: tables.Table) -> None:
    assert written(table.path.name)


def test_every_trial_is_a_row_and_one_of_each_cell_is_chosen() -> None:
    rows = written("trials.csv")
    assert len(rows) == len(cells()) * NUM_TRIALS
    assert sum(row["chosen"] for row in rows) == len(cells())
    assert (rows[0]["backbone"], rows[0]["strategy"]) == ("vgg16_slim", "fine_tuning")


def test_every_epoch_of_every_seed_is_a_row() -> None:
    rows = written("training.csv")
    assert len(rows) == len(cells()) * len(SEEDS) * NUM_EPOCHS


def test_confusion_is_of_the_chosen_row_and_counts_every_image_of_every_seed() -> None:
    rows = written("confusion.csv")
    assert {(row["backbone"], row["strategy"]) for row in rows} == {("vgg16_slim", "fine_tuning")}
    assert sum(row["count"] for row in rows) == NUM_TEST * len(SEEDS)
    right = sum(row["count"] for row in rows if row["actual"] == row["predicted"])
    assert right / (NUM_TEST * len(SEEDS)) == pytest.approx(leaderboard().chosen.test_accuracy)


def test_more_classes_than_can_be_read_are_not_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "MOST_CLASSES", 2)
    assert list(confusion_rows(leaderboard())) == []


def test_a_line_of_the_metrics_is_that_of_the_leaderboard() -> None:
    found = leaderboard()
    chosen, baseline = scores(found)[found.chosen.name], scores(found)[found.baseline.name]
    assert (chosen["test_accuracy"], chosen["val_loss"]) == (found.chosen.test_accuracy, found.chosen.val_loss)
    assert (chosen["rank"], chosen["test_rank"], chosen["trained"]) == (1, 1, 1_539)
    assert baseline["learning_rate"] is None
