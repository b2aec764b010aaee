"""Mean and spread over seeds on cases with known answers."""

import pytest

from backbench.evaluation.statistics import mean_over_seeds, sd_over_seeds


def test_mean_and_sample_standard_deviation() -> None:
    per_seed = [{"accuracy": value} for value in (0.1, 0.2, 0.3)]
    assert mean_over_seeds(per_seed)["accuracy"] == pytest.approx(0.2)
    assert sd_over_seeds(per_seed)["accuracy"] == pytest.approx(0.1)


def test_one_seed_has_no_standard_deviation() -> None:
    assert sd_over_seeds([{"accuracy": 0.5}]) == {"accuracy": None}
