"""Rows in the right order, of the right cells, and nothing missing in silence."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from backbench.comparison.ranking import groups_of, read_leaderboard
from backbench.comparison.resampling import inflation_of
from backbench.comparison.tables import leaderboard_rows, summary
from backbench.data.arrays.file_formats import read_json, write_csv, write_json
from backbench.data.ingest.store import MANIFEST_COLUMNS
from backbench.evaluation.predictions import read_predictions, write_predictions
from backbench.results.result_files import read_metrics, write_metrics
from backbench.runtime import paths
from backbench.runtime.errors import ArtifactError
from backbench.runtime.paths import Cell
from tests.support.finished_benchmark import (
    BACKBONES,
    CLASSES,
    NUM_EPOCHS,
    NUM_TEST,
    NUM_TRIALS,
    SEEDS,
    cells,
    make_finished_benchmark,
    on_both_splits,
    probabilities,
    write_cell,
    write_dataset,
    write_pixels,
)

HEADLINE = ("test_accuracy", "test_balanced_accuracy", "test_macro_f1", "test_log_loss", "test_top_5_accuracy")


@pytest.fixture(autouse=True)
def in_a_finished_benchmark(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    make_finished_benchmark()


def test_rows_are_ranked_by_validation_whatever_test_says() -> None:
    write_cell(cells()[0], 0.5, seed=0, val_accuracy=1.0)
    write_cell(cells()[1], 1.0, seed=1, val_accuracy=0.5)
    found = read_leaderboard(cells())
    losses = [row.val_loss for row in found.rows]
    assert losses == sorted(losses)
    assert [row.rank for row in found.rows] == [1, 2, 3, 4, 5]
    assert (found.chosen.name, found.chosen.test_rank) == ("resnet50_slim-feature_extraction", 4)
    assert found.rows[-1].name == "pixels-logistic_regression"
    by_test = found.by_test
    accuracies = [row.test_accuracy for row in by_test]
    assert accuracies == sorted(accuracies, reverse=True)
    assert [row.test_rank for row in by_test] == [1, 2, 3, 4, 5]
    assert by_test[0].name == "resnet50_slim-fine_tuning"


def write_groups(num_groups: int) -> None:
    """Say that every so many images of val and test, in an order that is not theirs, are of one group."""
    described = read_json(paths.DATASET / "dataset.json", made_by="prepare")
    write_json(paths.DATASET / "dataset.json", {**described, "groups": {}})
    rows = [
        dict.fromkeys(MANIFEST_COLUMNS, "") | {"split": split, "position": place, "group": f"P{place % num_groups:02}"}
        for split in ("test", "val")
        for place in reversed(range(NUM_TEST))
    ]
    write_csv(paths.DATASET / "manifest.csv", rows, (*MANIFEST_COLUMNS, "group"))


def test_of_folds_every_interval_is_wider_and_groups_are_of_all_images() -> None:
    before = read_leaderboard(cells())
    described = read_json(paths.DATASET / "dataset.json", made_by="prepare")
    write_json(paths.DATASET / "dataset.json", {**described, "folds": 5})
    found = read_leaderboard(cells())
    assert found.folds == 5
    for row, row_before in zip(found.rows, before.rows, strict=True):
        assert row.resampled.inflation == inflation_of(5)
        for name, interval in row.intervals.items():
            assert interval.estimate == row_before.intervals[name].estimate
            assert interval.high - interval.low > 1.1 * (
                row_before.intervals[name].high - row_before.intervals[name].low
            )
    places = [("fold-1", 3), ("fold-4", 0), ("fold-0", 2), ("fold-4", 1), ("", "")]
    rows = [
        dict.fromkeys(MANIFEST_COLUMNS, "") | {"split": split, "position": place, "group": f"P{place}"}
        for split, place in places
    ]
    write_csv(paths.DATASET / "manifest.csv", rows, (*MANIFEST_COLUMNS, "group"))
    groups = groups_of({**described, "folds": 5, "groups": {}})
    assert {split: of.tolist() for split, of in groups.items()} == {split: [0, 1, 2, 3] for split in ("val", "test")}


def test_groups_of_the_manifest_are_drawn_where_there_are_any() -> None:
    before = read_leaderboard(cells())
    write_groups(6)
    found = read_leaderboard(cells())
    assert [row.name for row in found.rows] == [row.name for row in before.rows]
    for row, row_before in zip(found.rows, before.rows, strict=True):
        assert (row_before.resampled.num_groups, row.resampled.num_groups) == (None, 6)
        np.testing.assert_array_equal(row.resampled.measured, row_before.resampled.measured)
        assert row.intervals["accuracy"] != row_before.intervals["accuracy"]
    described = read_json(paths.DATASET / "dataset.json", made_by="prepare")
    for groups in groups_of(described).values():
        np.testing.assert_array_equal(groups, np.arange(NUM_TEST) % 6)


def test_of_one_group_nothing_can_be_drawn_so_images_are() -> None:
    before = read_leaderboard(cells())
    write_groups(1)
    found = read_leaderboard(cells())
    assert [row.intervals for row in found.rows] == [row.intervals for row in before.rows]


def test_what_test_says_changes_the_report_and_not_the_order() -> None:
    before = read_leaderboard(cells())
    for seed, (cell, on_val) in enumerate(zip(cells(), (0.5, 0.6, 0.7, 0.95), strict=True)):
        write_cell(cell, 0.3, seed=seed, val_accuracy=on_val)
    after = read_leaderboard(cells())
    assert [row.name for row in after.rows] == [row.name for row in before.rows]
    assert after.chosen.test_accuracy < 0.5 < before.chosen.test_accuracy


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


@pytest.mark.parametrize("path", [cells()[0].predictions, paths.BASELINE_PREDICTIONS], ids=["cell", "pixels"])
def test_missing_predictions_are_an_error(path: Path) -> None:
    path.unlink()
    with pytest.raises(ArtifactError, match="dvc repro"):
        read_leaderboard(cells())


def test_predictions_of_another_run_are_refused() -> None:
    random = np.random.default_rng(5)
    other = {seed: probabilities(random, 0.1) for seed in SEEDS}
    write_predictions(cells()[0].predictions, on_both_splits(other, other))
    with pytest.raises(ArtifactError, match=r"as in metrics\.json"):
        read_leaderboard(cells())


def test_a_row_says_what_was_chosen_and_how_sure_it_is() -> None:
    found = read_leaderboard(cells())
    row, record = next(leaderboard_rows(found)), found.chosen.record
    assert record is not None
    assert row["test_accuracy_low"] < row["test_accuracy_mean"] < row["test_accuracy_high"]
    assert row["learning_rate"] == record.best.choice.learning_rate
    assert row["learning_rate_at_edge"] == "low"
    assert (row["num_trials"], row["num_seeds"], row["weights"]) == (NUM_TRIALS, len(SEEDS), "formula")
    assert (row["num_pruned"], row["num_epochs"]) == (1, NUM_TRIALS * NUM_EPOCHS)


def test_pixels_have_no_search_and_no_spread() -> None:
    (row,) = (row for row in leaderboard_rows(read_leaderboard(cells())) if row["backbone"] == "pixels")
    assert {row[name] for name in ("learning_rate", "num_trials", "num_macs", "test_accuracy_sd")} == {None}
    assert row["weights"] == "none"


def test_the_chosen_is_compared_with_every_other_and_with_no_two_others() -> None:
    found = read_leaderboard(cells())
    assert (found.chosen.on_test, found.chosen.is_worse_on_val) == (None, False)
    for row in found.rows[1:]:
        assert row.on_test is not None
        assert (row.on_test.first, row.on_test.second) == (found.chosen.name, row.name)
        gap = found.chosen.test_accuracy - row.test_accuracy
        assert row.on_test.difference.estimate == pytest.approx(gap, abs=1e-6)


def test_a_clear_choice_has_no_similar_row_and_equal_cells_are_similar() -> None:
    assert read_leaderboard(cells()).similar == []
    for seed, cell in enumerate(cells()):
        write_cell(cell, 0.7, seed=seed)
    found = read_leaderboard(cells())
    assert {row.name for row in [found.chosen, *found.similar]} == {str(cell) for cell in cells()}


def test_a_row_that_is_better_on_test_differs_from_the_chosen_and_is_no_worse_on_validation() -> None:
    write_cell(cells()[0], 0.6, seed=0, val_accuracy=0.97)
    rows = {row.name: row for row in read_leaderboard(cells()).rows}
    better = rows["vgg16_slim-fine_tuning"]
    assert better.is_better_on_test
    assert better.differs_from_chosen
    assert not better.is_worse_on_val
    poor = rows["resnet50_slim-fine_tuning"]
    assert (poor.is_better_on_test, poor.is_worse_on_val) == (False, True)


def test_predictions_of_other_validation_images_are_refused() -> None:
    content = {
        split: read_predictions(cells()[0].predictions, made_by="train", split=split) for split in ("val", "test")
    }
    other = replace(content["val"], labels=content["val"].labels[::-1])
    write_predictions(cells()[0].predictions, {**content, "val": other})
    with pytest.raises(ArtifactError, match="expected the val images of vgg16_slim-fine_tuning, found others"):
        read_leaderboard(cells())


def test_a_row_names_its_worst_class_with_its_recall() -> None:
    chosen = read_leaderboard(cells()).chosen
    recalls = {each.name: each for each in chosen.recalls.classes}
    assert set(recalls) == set(CLASSES)
    worst = chosen.recalls.worst
    assert worst.recall == min(each.recall for each in recalls.values() if each.recall is not None)
    assert worst.num_images == NUM_TEST // 3
    assert worst.text() == f"{worst.name} {worst.recall:.3f} of 30"


def test_summary_names_the_chosen_and_the_best_on_test_counts_and_every_cell() -> None:
    write_cell(cells()[1], 1.0, seed=1, val_accuracy=0.5)
    content = summary(read_leaderboard(cells()))
    assert (content["chosen"]["backbone"], content["chosen"]["test_rank"]) == ("vgg16_slim", 2)
    assert content["best_on_test"]["backbone"] == "resnet50_slim"
    assert content["best_on_test"]["selection_optimism"] >= 0
    assert content["num_cells"] == 4
    assert content["num_test_images"] == NUM_TEST
    assert set(content["test_accuracy_mean"]) == {*BACKBONES, "pixels"}


def test_predictions_are_read_by_seed_and_position() -> None:
    predictions = read_predictions(cells()[0].predictions, made_by="train")
    assert predictions.seeds == SEEDS
    assert predictions.probabilities.shape == (len(SEEDS), NUM_TEST, 3)
    assert predictions.probabilities.dtype == np.float32


@pytest.mark.parametrize("name", HEADLINE)
def test_every_headline_number_is_that_of_the_predictions(name: str) -> None:
    """Seven classes, so that there is a top 5; each number alone is off by little."""
    classes = tuple("abcdefg")
    write_dataset(classes)
    write_pixels(0.4, classes)
    for cell in cells():
        write_cell(cell, 0.7, seed=3, classes=classes)
    read_leaderboard(cells())
    metrics = read_metrics(cells()[1].metrics, made_by="train")
    write_metrics(cells()[1].metrics, replace(metrics, mean=metrics.mean | {name: metrics.mean[name] + 1e-5}))
    with pytest.raises(ArtifactError, match=f"{cells()[1]}: .*{name.replace('_', ' ')}") as refusal:
        read_leaderboard(cells())
    assert len(refusal.value.lines) == 1


def test_rows_of_other_numbers_are_refused_together() -> None:
    for cell in cells()[:2]:
        metrics = read_metrics(cell.metrics, made_by="train")
        write_metrics(cell.metrics, replace(metrics, mean=metrics.mean | {"test_log_loss": 9.0}))
    with pytest.raises(ArtifactError) as refusal:
        read_leaderboard(cells())
    assert sorted(line.split(":")[0] for line in refusal.value.lines) == sorted(map(str, cells()[:2]))
