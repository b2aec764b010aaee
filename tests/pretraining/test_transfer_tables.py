"""The transfer tables say what the rows say."""

import pytest
from pretraining.transfer.intervals import paired_t_interval, t_interval
from pretraining.transfer.measurements import Key, Rows
from pretraining.transfer.subsets import Measurement
from pretraining.transfer.tables import BEGIN, END, headline, mean_text, tables, with_tables


def rows_of(method: str, weights: str, accuracies: list[float], *, per_class: int = 20, **changes: str) -> Rows:
    names = {"dataset": "photodigits", "backbone": "net", "weights_sha256": weights, "protocol": "p", **changes}
    return {
        Key(method=method, weights=weights, per_class=per_class, seed=seed, **names): Measurement(0.1, 0.0, accuracy)
        for seed, accuracy in enumerate(accuracies)
    }


def test_a_t_interval_is_that_of_the_textbook() -> None:
    # Mean 3, sd 1.581, t(0.975, 4) = 2.776: half width 2.776 * 1.581 / sqrt(5) = 1.963.
    interval = t_interval([1.0, 2.0, 3.0, 4.0, 5.0])
    assert interval.estimate == pytest.approx(3.0)
    assert (interval.low, interval.high) == (pytest.approx(1.0367, abs=1e-3), pytest.approx(4.9633, abs=1e-3))


def test_a_difference_is_paired_by_seed() -> None:
    interval = paired_t_interval({0: 0.5, 1: 0.7, 2: 0.9}, {2: 0.8, 1: 0.6, 0: 0.4, 3: 0.0})
    assert interval.estimate == pytest.approx(0.1)
    assert interval.high - interval.low == pytest.approx(0.0, abs=1e-9)


def test_the_headline_shows_both_arms_and_their_difference() -> None:
    rows = (
        rows_of("linear_probe", "formula", [0.60, 0.62])
        | rows_of("linear_probe", "random", [0.20, 0.24])
        | rows_of("fine_tuning", "formula", [0.80, 0.80])
        | rows_of("fine_tuning", "formula", [0.10, 0.10], per_class=5)
    )
    line = headline(rows).splitlines()[-1]
    assert line == "| net | 61.0 ± 12.7 | 22.0 ± 25.4 | +39.0 [+26.3, +51.7] | 80.0 ± 0.0 | – | – |"


def test_a_cell_is_formula_then_random_at_its_number_of_images() -> None:
    rows = rows_of("linear_probe", "formula", [0.9], per_class=5, dataset="digits") | rows_of(
        "linear_probe", "random", [0.3], per_class=50, dataset="digits"
    )
    text = tables(rows)
    assert "**digits, linear probe**\n\n| backbone | 5 a class | 50 a class |" in text
    assert "| net | 90.0 / – | – / 30.0 |" in text


def test_a_cell_with_fewer_seeds_says_so() -> None:
    assert mean_text({0: 0.5, 1: 0.5}, 5) == "50.0 ± 0.0 (n=2)"


def test_only_what_lies_between_the_marks_changes() -> None:
    page = f"before\n{BEGIN}\nold\n{END}\nafter\n"
    assert with_tables(page, "new") == f"before\n{BEGIN}\n\nnew\n\n{END}\nafter\n"
    updated = with_tables(page, "new")
    assert updated is not None
    assert with_tables(updated, "new") == updated
    assert with_tables("a page without marks", "new") is None
