"""Intervals and comparisons on cases that other methods answer too."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import proportion_confint

from backbench.comparison.resampling import Resampled
from backbench.comparison.uncertainty import adjusted_p_values, compare_with, difference, interval, selection_optimism
from tests.support import known_truth

NUM_RESAMPLES = 2000


def measured(correct: np.ndarray) -> Resampled:
    """Accuracy of a table of right and wrong, `(num_seeds, num_images)`."""
    return known_truth.measured(correct, known_truth.counts_of(correct.shape[1], NUM_RESAMPLES))


def right_about(num_right: int, num_images: int) -> np.ndarray:
    return (np.arange(num_images) < num_right).astype(float)[None]


@pytest.mark.parametrize("num_right", [700, 980, 998])
def test_one_seed_has_jeffreys_interval(num_right: int) -> None:
    found = interval(measured(right_about(num_right, 1000)))
    low, high = proportion_confint(num_right, 1000, method="jeffreys")
    assert found.estimate == pytest.approx(num_right / 1000)
    assert (1 - found.low, 1 - found.high) == pytest.approx((1 - low, 1 - high), rel=0.06)  # of resampled variances


@pytest.mark.parametrize("num_seeds", [1, 3])
@pytest.mark.parametrize("num_images", [10, 100, 1000])
def test_where_every_image_is_right_others_may_be_wrong(num_images: int, num_seeds: int) -> None:
    """As Clopper and Pearson have it, about 3 / n: with that accuracy all are right in 2.5 % of test sets."""
    found = interval(measured(np.ones((num_seeds, num_images))))
    low, _ = proportion_confint(num_images, num_images, method="beta")
    assert (found.estimate, found.high) == (1.0, 1.0)
    assert found.low == pytest.approx(low, abs=1e-12)
    assert 3 <= num_images * (1 - found.low) <= 4
    none_right = interval(measured(np.zeros((num_seeds, num_images))))
    assert (none_right.low, none_right.high) == pytest.approx((0.0, 1 - low), abs=1e-12)


def test_an_image_that_one_seed_of_three_has_wrong_does_not_narrow_the_interval() -> None:
    correct = np.ones((3, 100))
    all_right = interval(measured(correct))
    correct[0, 0] = 0
    found = interval(measured(correct))
    assert found.low <= all_right.low
    assert found.high == 1.0


def test_an_interval_of_a_share_stays_within_0_and_1_and_holds_its_estimate() -> None:
    for num_right in range(51):
        found = interval(measured(np.tile(right_about(num_right, 50), (2, 1))))
        assert 0 <= found.low <= found.estimate <= found.high <= 1
        assert found.low < found.high


def test_seeds_on_endless_images_agree_with_students_t() -> None:
    """Where images add nothing, three seeds have the wide interval of two degrees of freedom."""
    of_seeds = np.array([0.80, 0.82, 0.87])
    found = interval(Resampled(of_seeds, np.tile(of_seeds, (NUM_RESAMPLES, 1)), 10**9))
    half = stats.t.ppf(0.975, 2) * of_seeds.std(ddof=1) / np.sqrt(3)
    assert (found.low, found.high) == pytest.approx((of_seeds.mean() - half, of_seeds.mean() + half), abs=0.1 * half)
    assert found.estimate == pytest.approx(of_seeds.mean())


def test_a_difference_of_seeds_on_endless_images_is_students_t_test() -> None:
    first, second = np.array([0.80, 0.82, 0.87]), np.array([0.70, 0.75, 0.71])
    endless = [Resampled(each, np.tile(each, (NUM_RESAMPLES, 1)), 10**9) for each in (first, second)]
    expected = stats.ttest_ind(first, second, equal_var=False)
    assert difference(*endless).p_value == pytest.approx(expected.pvalue, rel=1e-3)


def test_one_seed_each_agrees_with_mcnemar() -> None:
    random = np.random.default_rng(0)
    first = (random.uniform(size=(1, 800)) < 0.6).astype(float)
    second = np.where(random.uniform(size=(1, 800)) < 0.07, 1 - first, first)
    table = [[np.sum((first == a) & (second == b)) for b in (1, 0)] for a in (1, 0)]
    found = difference(measured(first), measured(second))
    assert found.interval.estimate == pytest.approx(first.mean() - second.mean())
    assert found.p_value == pytest.approx(mcnemar(table, exact=False, correction=False).pvalue, rel=0.15)


@pytest.mark.parametrize("num_right", [50, 97, 100])
def test_cells_that_agree_on_every_image_may_differ_on_others(num_right: int) -> None:
    """Bonett and Price: two images more of a hundred, one for each, so 1.96 * sqrt(2) / 102."""
    same = measured(np.tile(right_about(num_right, 100), (3, 1)))
    found = difference(same, same)
    half = stats.t.ppf(0.975, 99) * np.sqrt(2) / 102
    assert (found.interval.low, found.interval.high) == pytest.approx((-half, half))
    assert (found.interval.estimate, found.p_value) == (0.0, 1.0)


SHARES = {"a": 0.95, "b": 0.93, "c": 0.8, "d": 0.5}


def drawn(seed: int, num_seeds: int) -> dict[str, Resampled]:
    random = np.random.default_rng(seed)
    return {
        name: measured((random.uniform(size=(num_seeds, 400)) < share).astype(float)) for name, share in SHARES.items()
    }


def test_p_values_are_adjusted_as_holm_does() -> None:
    found = [pair.p_value for pair in compare_with("b", drawn(1, 2))]
    expected = multipletests(found, method="holm")[1]
    assert adjusted_p_values(found) == pytest.approx(list(expected))


def test_no_question_has_no_p_value() -> None:
    assert adjusted_p_values([]) == []
    assert compare_with("a", {"a": measured(right_about(1, 2))}) == []


def test_cells_of_other_images_are_refused() -> None:
    with pytest.raises(ValueError, match="same resamples"):
        difference(measured(right_about(1, 3)), measured(right_about(1, 4)))


def test_a_chosen_cell_is_compared_with_every_other_and_with_these_alone() -> None:
    numbers = drawn(3, 2)
    pairs = compare_with("b", numbers)
    assert [(pair.first, pair.second) for pair in pairs] == [("b", "a"), ("b", "c"), ("b", "d")]
    assert [pair.difference for pair in pairs] == [difference(numbers["b"], numbers[name]).interval for name in "acd"]
    holm = adjusted_p_values([pair.p_value for pair in pairs])
    for pair, at_most in zip(pairs, holm, strict=True):
        assert pair.p_value <= pair.adjusted_p_value <= at_most


def test_a_question_that_is_asked_ten_times_is_one_question() -> None:
    """Holm multiplies by ten; ten rivals that are alike are one, to what 2,000 draws can tell."""
    chosen = right_about(340, 400)
    rival = np.abs(chosen - np.isin(np.arange(400), [*range(8), *range(340, 358)]))  # 8 for the one, 18 for the other
    alone = difference(measured(chosen), measured(rival)).p_value
    pairs = compare_with("chosen", {"chosen": measured(chosen), **{str(copy): measured(rival) for copy in range(10)}})
    assert 0.01 < alone < 0.1
    assert [pair.adjusted_p_value for pair in pairs] == pytest.approx([alone] * 10, abs=0.015)


def test_questions_that_have_nothing_in_common_are_adjusted_as_sidak_does() -> None:
    """The chosen is so sure that what ten others differ by is their own; 3 of 400 draws are off by 1.2 points."""
    random = np.random.default_rng(5)
    certain = replace(measured(np.ones((1, 400))), resampled=np.ones((NUM_RESAMPLES, 1)))
    rivals = {str(each): measured((random.uniform(size=(1, 400)) < 0.985).astype(float)) for each in range(10)}
    pairs = compare_with("chosen", {"chosen": certain, **rivals})
    smallest = min(pair.p_value for pair in pairs)
    expected = 1 - (1 - smallest) ** 10
    assert min(pair.adjusted_p_value for pair in pairs) == pytest.approx(expected, abs=0.03)


def test_one_cell_alone_was_not_picked() -> None:
    assert selection_optimism({"a": measured(right_about(3, 9))}) == pytest.approx(0.0, abs=1e-12)
