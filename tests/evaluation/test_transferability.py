"""LogME is the evidence at its maximum, as a search over both precisions finds it too."""

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.stats import multivariate_normal

from backbench.evaluation.transferability import logme

NUM_EXAMPLES = 40


def features_of(separation: float, feature_dim: int) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    labels = np.arange(NUM_EXAMPLES) % 3
    features = random.normal(size=(NUM_EXAMPLES, feature_dim))
    features[np.arange(NUM_EXAMPLES), labels] += separation
    return features, labels


def highest(features: np.ndarray, target: np.ndarray) -> float:
    """Maximise the density of the target under noise of precision beta and weights of precision alpha."""

    def loss(logarithms: np.ndarray) -> float:
        alpha, beta = np.exp(logarithms)
        covariance = np.eye(NUM_EXAMPLES) / beta + features @ features.T / alpha
        return -float(multivariate_normal.logpdf(target, cov=covariance))

    return -float(minimize(loss, [0.0, 0.0], method="Nelder-Mead").fun) / NUM_EXAMPLES


@pytest.mark.parametrize("feature_dim", [6, 60], ids=["fewer features than examples", "more"])
def test_it_is_the_highest_evidence(feature_dim: int) -> None:
    features, labels = features_of(2.0, feature_dim)
    expected = np.mean([highest(features, (labels == c).astype(float)) for c in range(3)])
    assert logme(features, labels, num_classes=3) == pytest.approx(
        expected, abs=5e-3
    )  # it stops once the precisions settle


def test_features_that_tell_classes_apart_have_more() -> None:
    scores = [logme(*features_of(separation, 6), num_classes=3) for separation in (0.0, 1.0, 4.0)]
    assert scores == sorted(scores)


def test_constant_features_and_absent_classes_are_no_trouble() -> None:
    features, labels = features_of(1.0, 6)
    features[:, 5] = 0.0
    assert np.isfinite(logme(features, labels, num_classes=5))
