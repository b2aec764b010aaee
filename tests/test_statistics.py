"""Spread and intervals on cases with known answers."""

import numpy as np
import pytest

from backbench.statistics import bootstrap_mean, mean_over_seeds, paired_difference, sd_over_seeds


def test_mean_and_sample_standard_deviation() -> None:
    per_seed = [{"accuracy": value} for value in (0.1, 0.2, 0.3)]
    assert mean_over_seeds(per_seed)["accuracy"] == pytest.approx(0.2)
    assert sd_over_seeds(per_seed)["accuracy"] == pytest.approx(0.1)


def test_one_seed_has_no_standard_deviation() -> None:
    assert sd_over_seeds([{"accuracy": 0.5}]) == {"accuracy": None}


def test_bootstrap_agrees_with_the_binomial_interval() -> None:
    correct = (np.arange(1000) < 700).astype(float)
    interval = bootstrap_mean(correct)
    half_width = 1.96 * np.sqrt(0.7 * 0.3 / 1000)
    assert interval.estimate == pytest.approx(0.7)
    assert interval.low == pytest.approx(0.7 - half_width, abs=0.004)
    assert interval.high == pytest.approx(0.7 + half_width, abs=0.004)


def test_bootstrap_covers_the_truth_about_95_times_in_100() -> None:
    random = np.random.default_rng(0)
    samples = random.uniform(size=(300, 200)) < 0.6
    intervals = [bootstrap_mean(sample.astype(float), num_resamples=400) for sample in samples]
    covered = np.mean([interval.low <= 0.6 <= interval.high for interval in intervals])
    assert 0.90 <= covered <= 0.99


def test_same_seed_same_interval_and_seed_zero_is_honoured() -> None:
    values = np.random.default_rng(1).uniform(size=50)
    assert bootstrap_mean(values, seed=0) == bootstrap_mean(values, seed=0)
    assert bootstrap_mean(values, seed=0) != bootstrap_mean(values, seed=1)


def test_many_images_are_drawn_in_blocks() -> None:
    interval = bootstrap_mean(np.tile([0.0, 1.0], 60_000), num_resamples=40)
    assert interval.low < 0.5 < interval.high


def test_always_right_has_no_width() -> None:
    interval = bootstrap_mean(np.ones(10))
    assert (interval.low, interval.estimate, interval.high) == (1.0, 1.0, 1.0)


def test_pairing_shows_a_small_difference_that_two_intervals_hide() -> None:
    second = (np.arange(400) % 2).astype(float)
    first = second.copy()
    first[:24:2] = 1.0  # right about the same images and twelve more
    difference = paired_difference(first, second)
    assert difference.estimate == pytest.approx(12 / 400)
    assert not difference.includes_zero
    assert bootstrap_mean(second).high > bootstrap_mean(first).low


def test_equal_cells_show_no_difference() -> None:
    values = np.random.default_rng(0).uniform(size=100)
    difference = paired_difference(values, values)
    assert difference.estimate == 0
    assert difference.includes_zero


def test_cells_over_different_images_are_refused() -> None:
    with pytest.raises(ValueError, match="same images"):
        paired_difference(np.ones(3), np.ones(4))


def test_no_image_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one"):
        bootstrap_mean(np.ones(0))
