"""From logits to probabilities, predictions and metrics."""

import numpy as np

from backbench.metrics import classification_metrics


def probabilities_of(logits: np.ndarray) -> np.ndarray:
    """Return the softmax of logits `(num_examples, num_classes)`, as float32 of the same shape."""
    shifted = np.exp(logits.astype(np.float64) - logits.max(axis=1, keepdims=True))
    return np.asarray(shifted / shifted.sum(axis=1, keepdims=True), dtype=np.float32)


def evaluate(probabilities: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """Return the test metrics, `test_accuracy` and so on, of float32 `(num_examples, num_classes)`."""
    return {f"test_{name}": value for name, value in classification_metrics(probabilities, labels).items()}
