"""From logits to probabilities, predictions and metrics."""

import numpy as np
from scipy.special import softmax

from backbench.evaluation.calibration import fit_temperature, scaled
from backbench.evaluation.metrics import classification_metrics, expected_calibration_error


def probabilities_of(logits: np.ndarray) -> np.ndarray:
    """Return the softmax of logits `(num_examples, num_classes)`, as float32 of the same shape."""
    return np.asarray(softmax(logits.astype(np.float64), axis=1), dtype=np.float32)


def evaluate(
    probabilities: np.ndarray, labels: np.ndarray, *, val_probabilities: np.ndarray, val_labels: np.ndarray
) -> dict[str, float]:
    """Return the test metrics, and what is left of the calibration error at the temperature that suits val.

    Args:
        probabilities: float32 `(num_test, num_classes)`.
        labels: int32 `(num_test,)`.
        val_probabilities: float32 `(num_val, num_classes)`.
        val_labels: int32 `(num_val,)`.

    Returns:
        `test_accuracy` and so on, `temperature`, and `test_ece_after_temperature_scaling`.
    """
    temperature = fit_temperature(val_probabilities, val_labels)
    metrics = {f"test_{name}": value for name, value in classification_metrics(probabilities, labels).items()}
    metrics["test_ece_after_temperature_scaling"] = expected_calibration_error(
        scaled(probabilities, temperature), labels
    )
    return {**metrics, "temperature": temperature}
