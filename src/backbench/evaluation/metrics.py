"""Predicted probabilities to numbers: accuracy, log loss, balanced accuracy, macro F1, AUROC, calibration error."""

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import f1_score, log_loss, recall_score, roc_auc_score

Floats = NDArray[np.floating]
Ints = NDArray[np.integer]
TOP = 5


def _checked(probabilities: Floats, labels: Ints) -> Floats:
    """Return float64 rows that sum to 1 exactly enough for scikit-learn; softmax in float32 does not."""
    if probabilities.ndim != 2 or labels.shape != probabilities.shape[:1]:
        raise ValueError(f"expected (n, num_classes) and (n,), found {probabilities.shape} and {labels.shape}")
    if not labels.size:
        raise ValueError("expected at least one prediction, found none")
    if labels.min() < 0 or labels.max() >= probabilities.shape[1]:
        raise ValueError(f"expected labels in [0, {probabilities.shape[1]}), found {labels.min()} to {labels.max()}")
    if not np.isfinite(probabilities).all():
        raise ValueError("expected finite probabilities, found nan or infinity: the training diverged")
    exact: Floats = probabilities.astype(np.float64)
    exact /= exact.sum(axis=1, keepdims=True)
    return exact


def places(probabilities: Floats, labels: Ints) -> NDArray[np.int64]:
    """Return the place of each image's true class among the classes from most to least probable, 0 is the first.

    Of equally probable classes the one of the lower index comes first, as in `argmax`: a ranking names exactly k
    classes as its first k, also where a softmax is saturated and all but one are exactly 0. scikit-learn's
    `top_k_accuracy_score` puts the higher index first, so that its first one is not what `argmax` predicts.

    Args:
        probabilities: float `(n, num_classes)`.
        labels: int `(n,)` in [0, num_classes).
    """
    own = np.take_along_axis(probabilities, labels[:, None], axis=1)
    before = np.arange(probabilities.shape[1]) < labels[:, None]
    return np.asarray(np.where(before, probabilities >= own, probabilities > own).sum(axis=1), dtype=np.int64)


def classification_metrics(probabilities: Floats, labels: Ints) -> dict[str, float]:
    """Score predictions of every class's probability.

    A class with no image counts in neither balanced accuracy nor, unless it is predicted, macro F1; nor does one that
    has all images or none in macro AUROC.

    Args:
        probabilities: float `(n, num_classes)`, rows summing to 1.
        labels: int `(n,)` in [0, num_classes).

    Returns:
        `accuracy`, `log_loss` (nats), `balanced_accuracy` (mean recall), `macro_f1`, `macro_auroc` (each class against
        the rest; not there where all images are of one class), `ece` (expected calibration error), and
        `top_5_accuracy` of more than five classes, ties ranked as in `places`.

    Raises:
        ValueError: shapes or labels do not fit, or a probability is not finite.

    Source:
        scikit-learn's functions of these names.
    """
    exact = _checked(probabilities, labels)
    predicted = exact.argmax(axis=1)
    classes = np.arange(exact.shape[1])
    recall = recall_score(labels, predicted, labels=np.unique(labels), average="macro")
    # An F1 that is undefined (no image, no prediction) is nan here, which scikit-learn leaves out of the mean.
    f1 = f1_score(labels, predicted, labels=classes, average="macro", zero_division=np.nan)
    metrics = {
        "accuracy": float(np.mean(predicted == labels)),
        "log_loss": float(log_loss(labels, exact, labels=classes)),
        "balanced_accuracy": float(recall),
        "macro_f1": float(f1),
        "ece": expected_calibration_error(exact, labels),
    }
    auroc = _class_aurocs(exact, labels)
    if auroc:
        metrics["macro_auroc"] = float(np.mean(auroc))
    if len(classes) > TOP:
        metrics["top_5_accuracy"] = float(np.mean(places(exact, labels) < TOP))
    return metrics


def _class_aurocs(probabilities: Floats, labels: Ints) -> list[float]:
    """Score the classes that some images are of and some are not: scikit-learn refuses the others."""
    present = [c for c in range(probabilities.shape[1]) if 0 < np.count_nonzero(labels == c) < len(labels)]
    return [float(roc_auc_score(labels == c, probabilities[:, c])) for c in present]


def expected_calibration_error(probabilities: Floats, labels: Ints, *, num_bins: int = 15) -> float:
    """Mean gap between confidence and accuracy, weighted by the images in each bin of confidence.

    Args:
        probabilities: float `(n, num_classes)`, rows summing to 1.
        labels: int `(n,)`.
        num_bins: Bins of equal width over (0, 1].

    Returns:
        A share in [0, 1]; 0 is perfectly calibrated.

    Raises:
        ValueError: shapes or labels do not fit, or a probability is not finite.

    Source:
        Guo et al. 2017, https://arxiv.org/abs/1706.04599, equation 3.
    """
    exact = _checked(probabilities, labels)
    confidence = exact.max(axis=1)
    correct = exact.argmax(axis=1) == labels
    bins = np.clip(np.ceil(confidence * num_bins).astype(np.int64) - 1, 0, num_bins - 1)
    gaps = np.bincount(bins, weights=correct - confidence, minlength=num_bins)
    return float(np.abs(gaps).sum() / len(labels))
