"""What is said of a leaderboard follows from its numbers."""

from dataclasses import replace

import pytest

from backbench.comparison.predicted_ranks import transferability
from backbench.comparison.strategy_effects import strategy_effects
from backbench.comparison.tables import comparison_rows, interval_rows, summary
from tests.support.rows import finished, leaderboard


def test_a_strategy_that_is_better_gains_and_one_that_is_not_is_said_to_be_equal() -> None:
    found = leaderboard(
        finished("a", "feature_extraction", 0.7),
        finished("a", "fine_tuning", 0.9),
        finished("b", "feature_extraction", 0.8),
        finished("b", "fine_tuning", 0.8),
        finished("c", "feature_extraction", 0.9),
        finished("c", "fine_tuning", 0.6),
    )
    effects = {effect.backbone: effect for effect in strategy_effects(found)}
    assert set(effects) == {"a", "b", "c"}
    assert effects["a"].words.startswith("fine_tuning gains 20.0 points (+")
    assert (
        effects["b"].words == "fine_tuning and feature_extraction are not significantly different (-0.7 to +0.7 points)"
    )
    assert effects["c"].words.startswith("fine_tuning loses 30.0 points (-")
    assert effects["c"].gain.low < effects["c"].gain.estimate < effects["c"].gain.high < 0


def test_what_one_question_would_show_and_three_do_not_is_said() -> None:
    (effect,) = strategy_effects(
        leaderboard(finished("a", "feature_extraction", 0.7), finished("a", "fine_tuning", 0.9))
    )
    doubtful = replace(effect, p_value=0.09, num_questions=3)
    assert doubtful.words.startswith("fine_tuning seems to gain 20.0 points (+")
    assert doubtful.words.endswith(" over feature_extraction, too little for 3 at once")


def test_logme_is_held_against_feature_extraction() -> None:
    rows = [
        finished("a", "feature_extraction", 0.9, 0.3),
        finished("a", "fine_tuning", 0.6, 0.3),
        finished("b", "feature_extraction", 0.8, 0.2),
        finished("c", "feature_extraction", 0.7, -0.1),
    ]
    found = transferability(leaderboard(*rows).rows)
    assert [(each.backbone, each.test_accuracy) for each in found.backbones] == [
        ("a", pytest.approx(0.9)),
        ("b", pytest.approx(0.8)),
        ("c", pytest.approx(0.7)),
    ]
    assert (found.spearman, found.kendall) == (1.0, 1.0)


def test_two_backbones_have_no_rank_correlation() -> None:
    found = transferability(leaderboard(finished("a", "x", 0.9, 0.3), finished("b", "x", 0.8, 0.2)).rows)
    assert (found.spearman, found.kendall) == (None, None)


def test_tables_have_the_chosen_against_every_other_and_every_headline_number() -> None:
    found = leaderboard(finished("a", "x", 0.9), finished("b", "x", 0.8), finished("c", "x", 0.95, on_val=0.7))
    assert [(row["first"], row["second"]) for row in comparison_rows(found)] == [
        ("a-x", "b-x"),
        ("a-x", "c-x"),
        ("a-x", "pixels-logistic_regression"),
    ]
    metrics = [row["metric"] for row in interval_rows(found) if row["backbone"] == "a"]
    assert metrics == ["test_accuracy", "test_balanced_accuracy", "test_log_loss", "test_macro_f1"]
    content = summary(found)
    assert content["not_significantly_different"] == []
    assert content["significantly_better_on_test"] == ["c-x"]
    assert content["chosen"]["backbone"] == "a"


def test_strategies_are_compared_where_neither_is_chosen_and_for_these_questions_alone() -> None:
    rows = [finished(name, strategy, 0.8) for name in "ab" for strategy in ("feature_extraction", "fine_tuning")]
    found = leaderboard(finished("best", "fine_tuning", 0.9), *rows)
    assert [(each.backbone, each.num_questions) for each in strategy_effects(found)] == [("a", 2), ("b", 2)]
