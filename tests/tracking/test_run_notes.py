"""What MLflow's UI says is what the leaderboard says, in Markdown that every store takes."""

from dataclasses import replace
from pathlib import Path

import pytest

from backbench.comparison.class_recalls import ClassRecall, ClassRecalls
from backbench.comparison.leaderboard import Leaderboard
from backbench.comparison.ranking import rank, read_leaderboard
from backbench.tracking.publishing import cell_note, cell_tags, model_card, overview, recalls, run_notes
from backbench.tracking.runs import MAX_NOTE_CHARACTERS, NOTE
from tests.support.finished_benchmark import (
    CLASSES,
    LOCAL,
    cells,
    make_finished_benchmark,
    make_uneven_benchmark,
    write_cell,
    write_pixels,
)
from tests.support.mlflow_store import DESCRIPTION


@pytest.fixture
def leaderboard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Leaderboard:
    monkeypatch.chdir(tmp_path)
    make_finished_benchmark()
    return read_leaderboard(cells())


def test_a_cells_note_says_its_choice_its_accuracy_and_its_rank(leaderboard: Leaderboard) -> None:
    row, note = leaderboard.rows[1], cell_note(leaderboard.rows[1], leaderboard)
    assert row.record is not None
    assert f"learning rate {row.record.best.choice.learning_rate:.2e}" in note
    assert f"{row.test_accuracy:.3f} ± {row.metrics.sd['test_accuracy']:.3f} over 3 seeds, 95 % interval" in note
    assert f"Validation loss {row.val_loss:.4f} over 3 seeds; by it cells are ranked." in note
    assert row.on_test is not None
    gap = f"-{row.on_test.difference.estimate:.3f} in test accuracy beside the chosen, vgg16_slim-fine_tuning"
    assert f"Rank 2 of 5 by validation loss, 2 by test accuracy; {gap}: a significant difference" in note
    assert "at the low edge of its range: widen it" in note


def test_what_does_not_differ_significantly_is_said(leaderboard: Leaderboard) -> None:
    chosen = leaderboard.chosen
    twin = replace(chosen, metrics=replace(chosen.metrics, backbone="zwin"))
    found = rank([chosen, twin, leaderboard.baseline], CLASSES)
    note = cell_note(found.rows[1], found)
    assert "Rank 2 of 3 by validation loss, 2 by test accuracy; +0.000 in test accuracy beside the chosen" in note
    assert "vgg16_slim-fine_tuning: no significant difference (95 % interval -0.033 to +0.033)" in note
    assert "Rank 1 of 3 by validation loss, 1 by test accuracy: chosen." in cell_note(found.rows[0], found)
    assert cell_tags(found.rows[1], is_champion=False) == {
        "backbench.rank": "2",
        "backbench.test_rank": "2",
        "backbench.champion": "false",
        "backbench.differs_from_chosen": "false",
    }


def test_a_cell_above_the_chosen_on_test_is_no_champion(leaderboard: Leaderboard) -> None:
    write_cell(cells()[0], 1.0, seed=0, val_accuracy=0.5)
    won = read_leaderboard(cells())
    said = run_notes(won, "So.", dataset=DESCRIPTION, model_name="backbench-synthetic")
    assert said is not None
    assert said.champion == "vgg16_slim-fine_tuning"
    assert said.tags["resnet50_slim-feature_extraction"]["backbench.test_rank"] == "1"
    assert said.tags["resnet50_slim-feature_extraction"]["backbench.champion"] == "false"
    note = said.tags["resnet50_slim-feature_extraction"][NOTE]
    assert "beside the chosen, vgg16_slim-fine_tuning: a significant difference (95 % interval +0.0" in note
    assert said.metrics == {
        "chosen_val_loss_mean": won.chosen.val_loss,
        "chosen_test_accuracy_mean": won.chosen.test_accuracy,
        "num_cells": 4,
    }


def test_the_champion_is_the_chosen_cell_even_behind_the_pixels(leaderboard: Leaderboard) -> None:
    write_pixels(1.0)
    won = read_leaderboard(cells())
    assert won.chosen.is_baseline
    said = run_notes(won, "So.", dataset=DESCRIPTION, model_name="backbench-synthetic")
    assert said is not None
    assert said.champion == "vgg16_slim-fine_tuning"
    assert said.tags["vgg16_slim-fine_tuning"]["backbench.champion"] == "true"
    only_pixels = replace(leaderboard, rows=(leaderboard.baseline,))
    assert run_notes(only_pixels, "So.", dataset=DESCRIPTION, model_name="x") is None


def test_note_card_and_table_say_first_which_class_the_accuracy_hides(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    found = read_leaderboard(make_uneven_benchmark())
    chosen, local = found.chosen, LOCAL.replace("<local>", "`<local>`")
    assert cell_note(chosen, found).startswith(f"**vgg16_slim** by **fine_tuning**, formula weights, but it {local}.\n")
    card = model_card(chosen, found, dataset=DESCRIPTION, model_name="x")
    assert card.split("\n\n")[1].startswith(f"Classifies RGB images into 3 classes, but it {local}: ")
    head, _, first = overview("So.", found).split("\n\n")[2].splitlines()[:3]
    assert "| test accuracy | balanced accuracy | worst class |" in head
    assert "| 0.748 ± 0.003 | 0.668 | `<local>` 0.017 of 100 |" in first


def test_the_overview_begins_with_the_answer_and_stays_small(leaderboard: Leaderboard) -> None:
    shown = overview("So.", replace(leaderboard, rows=leaderboard.rows * 40))
    assert shown.startswith("So.\n\nChosen by the lowest validation loss")
    assert "\n\n| # | backbone | strategy | val loss | test accuracy | 95 % interval | val accuracy |" in shown
    assert shown.endswith("180 more are in `leaderboard.csv`.")
    assert len(shown) < MAX_NOTE_CHARACTERS


def test_the_model_card_names_data_weights_recalls_limits_and_how_to_load(leaderboard: Leaderboard) -> None:
    card = model_card(leaderboard.chosen, leaderboard, dataset=DESCRIPTION, model_name="backbench-synthetic")
    assert "`zero`, `één`, `<three>`" in card
    assert "d" * 64 in card
    assert "licence not stated" in card
    assert 'mlflow.pyfunc.load_model("models:/backbench-synthetic@champion")' in card


def test_recalls_are_few_and_lowest_first() -> None:
    found = ClassRecalls((ClassRecall("a", 2, 0.75), ClassRecall("b", 2, 1.0), ClassRecall("never", 0, None)))
    assert recalls(found) == "`a` 0.750, `b` 1.000"
    many = ClassRecalls(tuple(ClassRecall(str(label), 1, 1.0) for label in range(30)))
    assert recalls(many).endswith(", 10 more above")
