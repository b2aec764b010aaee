"""The answer is chosen by validation, says what test says beside it, and hides no class."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from backbench.comparison.class_recalls import ClassRecall, ClassRecalls
from backbench.comparison.conclusions import answer, class_warning, rule
from backbench.comparison.ranking import read_leaderboard
from backbench.comparison.resampling import Resampled, image_counts
from backbench.comparison.uncertainty import selection_optimism
from tests.support.finished_benchmark import LOCAL, make_uneven_benchmark
from tests.support.rows import finished, leaderboard


def test_the_answer_names_what_does_not_differ_and_no_more_than_three() -> None:
    said = answer(leaderboard(*(finished(name, "fine_tuning", 0.8) for name in "abcde")))
    assert said == (
        "a with fine_tuning is chosen by validation. "
        "Its test accuracy is 0.800 ± 0.000 (sd, 3 seeds), against 0.500 from raw pixels. It is the best on test too. "
        "On test the chosen does not differ significantly from b with fine_tuning, c with fine_tuning and 2 more."
    )


def test_the_answer_says_that_another_is_better_on_test() -> None:
    said = answer(leaderboard(finished("a", "x", 0.8, on_val=0.9), finished("b", "x", 0.9, on_val=0.7)))
    assert said.startswith("a with x is chosen by validation. Its test accuracy is 0.800 ")
    assert "On test b with x is significantly better, by 10.0 points (+" in said
    assert "best on test too" not in said


def test_the_answer_says_that_another_is_higher_on_test_and_that_this_shows_nothing() -> None:
    said = answer(leaderboard(finished("a", "x", 0.8, on_val=0.9), finished("b", "x", 0.8025, on_val=0.7)))
    assert said.startswith("a with x is chosen by validation.")
    assert "The best on test is b with x, by 0.2 points (" in said
    assert said.endswith("On test the chosen does not differ significantly from b with x.")


def test_a_clear_choice_is_ahead_of_every_other() -> None:
    said = answer(leaderboard(finished("a", "x", 0.9), finished("b", "x", 0.7)))
    assert "It is significantly ahead of every other there: of b with x by 20.0 points (+" in said


def test_the_rule_is_said_with_what_the_best_on_test_flatters() -> None:
    found = leaderboard(*(finished(name, "x", 0.8) for name in "abcde"))
    optimism = selection_optimism({row.name: row.resampled for row in found.rows})
    assert rule(found) == (
        "Chosen by the lowest validation loss, mean over the seeds of the final models: "
        f"{found.chosen.val_loss:.3f}. Test images choose nothing: of 6 rows the best on test looks about "
        f"{100 * optimism:.1f} points better than it is."
    )


def test_the_first_sentence_says_which_class_the_accuracy_hides(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    found = read_leaderboard(make_uneven_benchmark())
    assert answer(found).startswith(f"vgg16_slim with fine_tuning is chosen by validation, but it {LOCAL}. Its test")
    assert "test accuracy is 0.748 " in answer(found)
    assert "the class `<local>` in" in answer(found, lambda name: f"`{name}`")
    assert found.may_hide_a_class


def test_uneven_classes_are_said_where_all_are_found_well() -> None:
    (row, *_) = leaderboard(finished("a", "x", 0.9)).rows
    uneven = replace(row, recalls=ClassRecalls((ClassRecall("few", 20, 0.85), ClassRecall("many", 380, 0.91))))
    assert class_warning(uneven) == (
        "finds the class few, the worst of uneven classes, in 85.0 % of its 20 test images (balanced accuracy 0.900)"
    )
    assert class_warning(row) == ""


def test_more_classes_below_chance_are_counted() -> None:
    (row, *_) = leaderboard(finished("a", "x", 0.9)).rows
    recalls = [ClassRecall(name, 5, recall) for name, recall in (("a", 0.0), ("b", 0.2), ("c", 1.0), ("d", 1.0))]
    said = class_warning(replace(row, recalls=ClassRecalls(tuple(recalls))))
    assert said.startswith("finds the class a in only 0.0 % of its 5 test images, less often than chance would (as it ")
    assert "(as it does 1 more)" in said


def test_the_best_of_many_equal_rows_flatters_itself_and_a_single_one_does_not() -> None:
    random = np.random.default_rng(0)
    tables = [(random.uniform(size=(3, 400)) < 0.8).astype(float) for _ in range(20)]
    counts = np.concatenate(list(image_counts(400, 500)))
    numbers = {str(n): Resampled(t.mean(axis=1), counts @ t.T / 400, 400) for n, t in enumerate(tables)}
    assert 0.005 < selection_optimism(numbers) < 0.03
    assert selection_optimism({"0": numbers["0"]}) == pytest.approx(0.0, abs=0.002)
