"""The committed results/ come out to the byte: of every cell's files what is read, and of the tables what they hold."""

import csv
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from backbench.comparison import tables
from backbench.comparison.class_recalls import ClassRecall, ClassRecalls
from backbench.comparison.leaderboard import Leaderboard, Row
from backbench.comparison.resampling import Resampled
from backbench.comparison.spread import Interval
from backbench.comparison.uncertainty import PairedComparison
from backbench.data.arrays.file_formats import write_json
from backbench.data.arrays.sizes import Enlarged
from backbench.results.records import PIXELS
from backbench.results.result_files import (
    read_cell,
    read_metrics,
    write_best,
    write_history,
    write_metrics,
    write_trials,
)
from backbench.runtime import paths
from backbench.runtime.paths import Cell
from tests.support.configs import PROJECT

CELLS = [Cell(path.parts[-3], path.parts[-2]) for path in sorted((PROJECT / "results/cells").glob("*/*/metrics.json"))]
# Confusion is counted from predictions, which are not in git.
TABLES = [table for table in tables.TABLES if table.path != paths.CONFUSION]


@pytest.fixture(autouse=True)
def beside_the_committed_results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(PROJECT / "results", tmp_path / "results")
    monkeypatch.chdir(tmp_path)


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def interval(row: dict[str, str], estimate: str) -> Interval:
    return Interval(float(row[estimate]), float(row["low"]), float(row["high"]))


def committed() -> Leaderboard:
    """The leaderboard that the tables were written from, as far as they say."""
    pairs = {row["second"]: row for row in rows_of(paths.COMPARISONS)}
    return Leaderboard(tuple(_rows(pairs)), ())


def _rows(pairs: dict[str, dict[str, str]]) -> Iterator[Row]:
    for row in rows_of(paths.LEADERBOARD):
        cell = Cell(row["backbone"], row["strategy"])
        record = None if cell.backbone == PIXELS else read_cell(cell)
        worst = ClassRecall(row["worst_class"], int(row["worst_class_num_images"]), float(row["worst_class_recall"]))
        intervals = [
            each for each in rows_of(paths.INTERVALS) if (each["backbone"], each["strategy"]) == (*row.values(),)[2:4]
        ]
        pair = pairs.get(str(cell))
        yield Row(
            record.metrics if record else read_metrics(paths.BASELINE / "metrics.json", made_by="baseline"),
            record,
            lambda split: pytest.fail(f"predictions on {split} are not in git"),
            rank=int(row["rank"]),
            test_rank=int(row["test_rank"]),
            intervals={each["metric"].removeprefix("test_"): interval(each, "mean") for each in intervals},
            resampled=Resampled(np.zeros(1), np.zeros((1, 1)), 1),
            recalls=ClassRecalls((worst,)),
            on_test=pair
            and PairedComparison(
                pair["first"],
                pair["second"],
                interval(pair, "difference"),
                float(pair["p_value"]),
                float(pair["adjusted_p_value"]),
            ),
            enlarged=Enlarged(0, 1, float(row["enlarged_share"]), 1.0) if row["enlarged_share"] else None,
        )


@pytest.mark.parametrize("cell", CELLS, ids=str)
def test_a_committed_cell_is_written_as_it_was_read(cell: Cell) -> None:
    record = read_cell(cell)
    before = {path: path.read_bytes() for path in cell.results.iterdir()}
    shutil.rmtree(cell.results)
    write_trials(cell, record.trials)
    write_best(cell, record.best)
    write_history(cell, record.seeds)
    write_metrics(cell.metrics, record.metrics)
    assert {path: path.read_bytes() for path in cell.results.iterdir()} == before


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.path.name)
def test_a_committed_table_is_written_again(table: tables.Table, monkeypatch: pytest.MonkeyPatch) -> None:
    before, leaderboard = table.path.read_bytes(), committed()
    table.path.unlink()
    monkeypatch.setattr(tables, "TABLES", (table,))
    tables.write_tables(leaderboard)
    assert table.path.read_bytes() == before


def test_the_committed_scores_are_written_again() -> None:
    before = {path.stem: path.read_bytes() for path in paths.SCORES.iterdir()}
    assert sorted(before) == sorted([*map(str, CELLS), "pixels-logistic_regression"])
    for name, content in tables.scores(committed()).items():
        write_json(paths.SCORES / f"{name}.json", content)
        assert (paths.SCORES / f"{name}.json").read_bytes() == before[name]
