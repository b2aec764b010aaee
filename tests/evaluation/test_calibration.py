"""A temperature that is known is found again, and changes no decision."""

import numpy as np
import pytest

from backbench.evaluation.metrics import (
    HIGHEST_TEMPERATURE,
    LOWEST_TEMPERATURE,
    expected_calibration_error,
    fit_temperature,
    scaled,
)


def drawn(num_images: int = 4000) -> tuple[np.ndarray, np.ndarray]:
    """Calibrated probabilities: each label is drawn from its own row."""
    random = np.random.default_rng(0)
    probabilities = random.dirichlet(np.ones(5), num_images)
    return probabilities, np.array([random.choice(5, p=row) for row in probabilities])


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_a_model_that_is_too_sure_or_not_sure_enough_is_put_right(temperature: float) -> None:
    probabilities, labels = drawn()
    wrong = scaled(probabilities, 1 / temperature)
    assert fit_temperature(wrong, labels) == pytest.approx(temperature, rel=0.06)
    before = expected_calibration_error(wrong, labels)
    after = expected_calibration_error(scaled(wrong, fit_temperature(wrong, labels)), labels)
    assert after < 0.02
    assert after <= before + 1e-3


def test_scaling_moves_no_decision_and_keeps_sums() -> None:
    probabilities, _ = drawn(50)
    soft = scaled(probabilities, 4.0)
    np.testing.assert_array_equal(soft.argmax(axis=1), probabilities.argmax(axis=1))
    np.testing.assert_allclose(soft.sum(axis=1), 1.0)


def test_exact_zeros_and_a_perfect_model_are_no_trouble() -> None:
    certain = np.eye(3, dtype=np.float32)
    assert LOWEST_TEMPERATURE <= fit_temperature(certain, np.arange(3)) <= HIGHEST_TEMPERATURE
    assert np.isfinite(scaled(certain, 0.1)).all()
    assert fit_temperature(certain, np.array([1, 2, 0])) == pytest.approx(HIGHEST_TEMPERATURE, rel=1e-3)
