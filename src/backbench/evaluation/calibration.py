"""Temperature scaling: one number, fitted on val, that makes a model's confidence mean what it says."""

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax

# Softmax in float32 can give exact zeros, whose logarithm is not finite.
SMALLEST_PROBABILITY = float(np.finfo(np.float32).tiny)
# A model that is right about all of val would have its temperature go to 0.
LOWEST_TEMPERATURE, HIGHEST_TEMPERATURE = 0.05, 20.0


def fit_temperature(probabilities: NDArray[np.floating], labels: NDArray[np.integer]) -> float:
    """Find the temperature with the lowest log loss, between 0.05 and 20.

    Args:
        probabilities: float `(n, num_classes)`, of val.
        labels: int `(n,)`.

    Source:
        Guo et al. 2017, https://arxiv.org/abs/1706.04599, section 4.2.
    """
    logits, own = _logits(probabilities), np.arange(len(labels))

    def loss(log_temperature: float) -> float:
        scaled = log_softmax(logits / np.exp(log_temperature), axis=1)
        return float(-scaled[own, labels].mean())

    bounds = (np.log(LOWEST_TEMPERATURE), np.log(HIGHEST_TEMPERATURE))
    return float(np.exp(minimize_scalar(loss, bounds=bounds, method="bounded", options={"xatol": 1e-6}).x))


def scaled(probabilities: NDArray[np.floating], temperature: float) -> NDArray[np.float64]:
    """Return the probabilities at another temperature, float64 of the same shape; above 1, less sure ones."""
    return np.asarray(np.exp(log_softmax(_logits(probabilities) / temperature, axis=1)))


def _logits(probabilities: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return logits up to a constant per image, which no softmax sees."""
    return np.log(np.clip(probabilities.astype(np.float64), SMALLEST_PROBABILITY, None))
