"""What MLflow's UI says is what the leaderboard says, in Markdown that every store takes."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from backbench.leaderboard import Leaderboard, rank, read_leaderboard
from backbench.predictions import Predictions
from backbench.run_notes import cell_note, cell_tags, findings, model_card, overview, recalls
from backbench.runs import MAX_NOTE_CHARACTERS, bounded
from tests.finished_benchmark import cells, make_finished_benchmark, write_pixels
from tests.test_publishing import DESCRIPTION


@pytest.fixture
def leaderboard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Leaderboard:
    monkeypatch.chdir(tmp_path)
    make_finished_benchmark()
    return read_leaderboard(cells())


def test_a_cells_note_says_its_choice_its_accuracy_and_its_rank(leaderboard: Leaderboard) -> None:
    entry = leaderboard.entries[1]
    row, note = entry.row, cell_note(entry, leaderboard)
    assert entry.record is not None
    assert f"learning rate {entry.record.best.choice.learning_rate:.2e}" in note
    assert f"{row.test_accuracy_mean:.3f} ± {row.test_accuracy_sd:.3f} over 3 seeds, 95 % interval" in note
    assert entry.behind is not None
    assert f"Rank 2 of 5, {entry.behind.difference.estimate:.3f} behind the best, vgg16_slim-fine_tuning" in note
    assert "at the low edge of its range: widen it" in note


def test_what_is_not_shown_to_be_worse_is_tied(leaderboard: Leaderboard) -> None:
    best = leaderboard.best.finished
    twin = replace(best, metrics=replace(best.metrics, backbone="zwin"))
    tied = rank([best, twin, leaderboard.baseline.finished])
    assert "Rank 2 of 3, tied with the best, vgg16_slim-fine_tuning: no difference is shown" in cell_note(
        tied.entries[1], tied
    )
    assert "Rank 1 of 3, but no difference to zwin-fine_tuning is shown." in cell_note(tied.entries[0], tied)
    assert cell_tags(tied.entries[1], is_champion=False) == {
        "rank": "2",
        "champion": "false",
        "tied_with_best": "true",
    }


def test_the_champion_is_the_best_cell_even_behind_the_pixels(leaderboard: Leaderboard) -> None:
    write_pixels(1.0)
    won = read_leaderboard(cells())
    assert won.best.row.is_baseline
    said = findings(won, "So.", dataset=DESCRIPTION, model_name="backbench-synthetic")
    assert said is not None
    assert said.champion == "vgg16_slim-fine_tuning"
    assert said.tags["vgg16_slim-fine_tuning"]["champion"] == "true"
    assert (
        findings(replace(leaderboard, entries=(leaderboard.baseline,)), "So.", dataset=DESCRIPTION, model_name="x")
        is None
    )


def test_the_overview_begins_with_the_answer_and_stays_small(leaderboard: Leaderboard) -> None:
    shown = overview("So.", leaderboard.rows * 40)
    assert shown.startswith("So.\n\n| | backbone")
    assert shown.endswith("180 more are in `leaderboard.csv`.")
    assert len(shown) < MAX_NOTE_CHARACTERS
    assert len(bounded("x" * 9000)) == MAX_NOTE_CHARACTERS


def test_the_model_card_names_data_weights_recalls_limits_and_how_to_load(leaderboard: Leaderboard) -> None:
    card = model_card(leaderboard.best, leaderboard, dataset=DESCRIPTION, model_name="backbench-synthetic")
    assert "`zero`, `één`, `<three>`" in card
    assert "d" * 64 in card
    assert "licence not stated" in card
    assert 'mlflow.pyfunc.load_model("models:/backbench-synthetic@champion")' in card


def test_recalls_are_means_over_seeds_lowest_first_and_few() -> None:
    labels = np.array([0, 0, 1, 1], dtype=np.int32)
    shown = np.array([[0, 1, 1, 1], [0, 0, 1, 1]])
    predictions = Predictions((0, 1), labels, np.eye(3, dtype=np.float32)[shown])
    assert recalls(predictions, ["a", "b", "never"]) == "`a` 0.750, `b` 1.000"
    many = Predictions((0,), np.arange(30, dtype=np.int32), np.eye(30, dtype=np.float32)[None])
    assert recalls(many, [str(label) for label in range(30)]).endswith(", 10 more above")
