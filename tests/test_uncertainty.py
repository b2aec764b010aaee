"""Intervals and comparisons on cases that other methods answer too."""

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import proportion_confint

from backbench.resampling import Resampled, image_counts
from backbench.uncertainty import adjusted_p_values, compare_all, compare_with, difference, interval, tied_with

NUM_RESAMPLES = 2000


def measured(correct: np.ndarray) -> Resampled:
    """Accuracy of a table of right and wrong, `(num_seeds, num_images)`."""
    num_images = correct.shape[1]
    counts = np.concatenate(list(image_counts(num_images, NUM_RESAMPLES)))
    return Resampled(correct.mean(axis=1), counts @ correct.T / num_images, num_images)


def right_about(num_right: int, num_images: int) -> np.ndarray:
    return (np.arange(num_images) < num_right).astype(float)[None]


def test_one_seed_agrees_with_the_binomial_interval() -> None:
    found = interval(measured(right_about(700, 1000)))
    low, high = proportion_confint(700, 1000, method="wilson")
    assert found.estimate == pytest.approx(0.7)
    assert (found.low, found.high) == pytest.approx((low, high), abs=0.003)


def test_seeds_on_endless_images_agree_with_students_t() -> None:
    """Where images add nothing, three seeds have the wide interval of two degrees of freedom."""
    of_seeds = np.array([0.80, 0.82, 0.87])
    found = interval(Resampled(of_seeds, np.tile(of_seeds, (NUM_RESAMPLES, 1)), 10**9))
    half = stats.t.ppf(0.975, 2) * of_seeds.std(ddof=1) / np.sqrt(3)
    assert found.high - found.low == pytest.approx(2 * half, rel=0.25)  # three values have few resamples
    assert found.estimate == pytest.approx(of_seeds.mean())


def test_no_spread_at_all_has_an_interval_of_no_width() -> None:
    found = interval(measured(np.ones((3, 10))))
    assert (found.low, found.high) == (1.0, 1.0)


def test_one_seed_each_agrees_with_mcnemar() -> None:
    random = np.random.default_rng(0)
    first = (random.uniform(size=(1, 800)) < 0.6).astype(float)
    second = np.where(random.uniform(size=(1, 800)) < 0.07, 1 - first, first)
    table = [[np.sum((first == a) & (second == b)) for b in (1, 0)] for a in (1, 0)]
    found = difference(measured(first), measured(second))
    assert found.interval.estimate == pytest.approx(first.mean() - second.mean())
    assert found.p_value == pytest.approx(mcnemar(table, exact=False, correction=False).pvalue, rel=0.15)


def test_a_cell_does_not_differ_from_itself() -> None:
    same = measured(right_about(7, 10))
    found = difference(same, same)
    assert (found.interval.low, found.interval.high, found.p_value) == (0.0, 0.0, 1.0)


def test_p_values_are_adjusted_as_holm_does() -> None:
    random = np.random.default_rng(1)
    numbers = {name: measured((random.uniform(size=(2, 300)) < share).astype(float)) for name, share in SHARES.items()}
    pairs = compare_all(numbers)
    ordered = sorted(pairs, key=lambda pair: pair.p_value)
    expected = multipletests([pair.p_value for pair in ordered], method="holm")[1]
    assert [pair.adjusted_p_value for pair in ordered] == pytest.approx(list(expected))


def test_no_question_has_no_p_value() -> None:
    assert adjusted_p_values([]) == []


SHARES = {"a": 0.95, "b": 0.93, "c": 0.8, "d": 0.5}


def test_the_tie_is_what_no_difference_to_the_best_is_shown_of() -> None:
    random = np.random.default_rng(2)
    numbers = {name: measured((random.uniform(size=(3, 400)) < share).astype(float)) for name, share in SHARES.items()}
    assert tied_with("a", compare_all(numbers)) == {"a", "b"}


def test_one_cell_is_tied_with_itself() -> None:
    assert compare_all({"a": measured(right_about(1, 2))}) == []
    assert tied_with("a", []) == {"a"}


def test_cells_of_other_images_are_refused() -> None:
    with pytest.raises(ValueError, match="same resamples"):
        difference(measured(right_about(1, 3)), measured(right_about(1, 4)))


def test_a_chosen_cell_is_compared_with_every_other_and_with_these_alone() -> None:
    numbers = {name: measured(right_about(seed, 2)) for seed, name in enumerate("abcd")}
    pairs = compare_with("b", numbers)
    assert [(pair.first, pair.second) for pair in pairs] == [("b", "a"), ("b", "c"), ("b", "d")]
    assert [pair.difference for pair in pairs] == [difference(numbers["b"], numbers[name]).interval for name in "acd"]
