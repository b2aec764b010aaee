"""LogME: how well frozen features would do under a linear head, told without training one."""

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

# Of more images this many are drawn: the decomposition holds several float64 copies of the features.
MOST_EXAMPLES = 20_000
MAX_ITERATIONS = 11
TOLERANCE = 1e-3

Floats = NDArray[np.float64]


def drawn(num_examples: int) -> NDArray[np.int64]:
    """Return the rising rows that the evidence is computed on: the same of every backbone, all where they are few."""
    if num_examples <= MOST_EXAMPLES:
        return np.arange(num_examples)
    return np.sort(np.random.default_rng(num_examples).permutation(num_examples)[:MOST_EXAMPLES])


def logme(features: NDArray[np.floating], labels: NDArray[np.integer], *, num_classes: int) -> float:
    """Return the mean log evidence per example of a Bayesian linear model of each class, in nats; higher is better.

    Args:
        features: float `(num_examples, feature_dim)`, of the training split.
        labels: int `(num_examples,)`.
        num_classes: A class without an example counts as all zeros.

    Source:
        You et al. 2021, https://arxiv.org/abs/2102.11005, with the fixed-point iteration of its algorithm 3.
    """
    exact = features.astype(np.float64)
    targets = (labels[:, None] == np.arange(num_classes)).astype(np.float64)
    # The number of threads would decide the order of sums.
    with threadpool_limits(1):
        left, singular, _ = np.linalg.svd(exact, full_matrices=False)
        kept = singular > singular.max() * max(exact.shape) * np.finfo(np.float64).eps
        directions, variances = left[:, kept].T, singular[kept] ** 2
        evidences = [_evidence(directions @ y, variances, y, exact.shape[1]) for y in targets.T]
    return float(np.mean(evidences))


def _evidence(projected: Floats, variances: Floats, target: Floats, feature_dim: int) -> float:
    """Maximise one target's evidence over the precisions of weights and of noise, per example.

    Args:
        projected: The target on the left singular vectors, `(rank,)`.
        variances: Squared singular values, `(rank,)`.
        target: `(num_examples,)`.
        feature_dim: Directions without variance have weights too.
    """
    num_examples = len(target)
    outside = float(target @ target - projected @ projected)
    alpha, beta = 1.0, 1.0
    for _ in range(MAX_ITERATIONS):
        ratio = alpha / beta
        gamma = float(np.sum(variances / (variances + ratio)))
        squared_weights = float(np.sum(variances * projected**2 / (variances + ratio) ** 2))
        squared_error = float(np.sum((projected * ratio / (variances + ratio)) ** 2)) + max(outside, 0.0)
        # Features that are all constant explain nothing: gamma is 0, and a logarithm is taken of alpha.
        alpha, beta = max(gamma, 1e-12) / (squared_weights + 1e-12), (num_examples - gamma) / (squared_error + 1e-12)
        if abs(alpha / beta - ratio) <= TOLERANCE * ratio:
            break
    log_determinant = float(np.sum(np.log(alpha + beta * variances))) + (feature_dim - len(variances)) * np.log(alpha)
    fit = -beta / 2 * squared_error - alpha / 2 * squared_weights
    evidence = feature_dim / 2 * np.log(alpha) + num_examples / 2 * np.log(beta) + fit - log_determinant / 2
    return float(evidence / num_examples - np.log(2 * np.pi) / 2)
