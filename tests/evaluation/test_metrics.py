"""Metrics on cases that can be counted by hand."""

import math

import numpy as np
import pytest
import sklearn.metrics as skm

from backbench.evaluation.metrics import classification_metrics, expected_calibration_error, places
from backbench.evaluation.predictions import Predictions


def certain(predicted: list[int], num_classes: int) -> np.ndarray:
    return np.eye(num_classes, dtype=np.float32)[predicted]


def test_perfect_predictions() -> None:
    labels = np.array([0, 1, 2], dtype=np.int32)
    metrics = classification_metrics(certain([0, 1, 2], 3), labels)
    right = {"accuracy": 1, "log_loss": 0, "balanced_accuracy": 1, "macro_f1": 1, "macro_auroc": 1}
    assert metrics == pytest.approx({**right, "ece": 0})


@pytest.mark.parametrize("seed", range(20))
def test_they_equal_scikit_learn_where_a_class_has_no_image(seed: int) -> None:
    """Class 6 of seven is predicted and never true; scikit-learn is asked about the classes that are there."""
    random = np.random.default_rng(seed)
    probabilities, labels = random.dirichlet(np.ones(7), 200), random.integers(0, 6, 200)
    predicted, present = probabilities.argmax(axis=1), np.arange(6)
    one_hot = labels[:, None] == present
    expected = {
        "accuracy": skm.accuracy_score(labels, predicted),
        "balanced_accuracy": skm.recall_score(labels, predicted, labels=present, average="macro"),
        "macro_f1": skm.f1_score(labels, predicted, average="macro", zero_division=0.0),
        "macro_auroc": skm.roc_auc_score(one_hot, probabilities[:, :6], average="macro"),
        "log_loss": skm.log_loss(labels, probabilities, labels=np.arange(7)),
        "top_5_accuracy": skm.top_k_accuracy_score(labels, probabilities, k=5, labels=np.arange(7)),
    }
    found = classification_metrics(probabilities, labels)
    assert {name: found[name] for name in expected} == pytest.approx(expected, rel=0, abs=1e-12)
    matrix = skm.confusion_matrix(labels, predicted, labels=np.arange(7))
    np.testing.assert_array_equal(Predictions.of_seeds({0: probabilities}, labels).confusion(), matrix)


def test_the_first_place_is_the_prediction_and_every_class_has_a_place_of_its_own() -> None:
    random = np.random.default_rng(0)
    probabilities = random.integers(0, 3, (200, 6)).astype(np.float32)  # many ties
    found = np.stack([places(probabilities, np.full(200, label)) for label in range(6)], axis=1)
    assert (np.sort(found, axis=1) == np.arange(6)).all()
    np.testing.assert_array_equal(found.argmin(axis=1), probabilities.argmax(axis=1))
    np.testing.assert_array_equal(np.argsort(found, axis=1), np.argsort(-probabilities, axis=1, kind="stable"))


def test_images_of_one_class_have_no_auroc() -> None:
    assert "macro_auroc" not in classification_metrics(certain([0, 1], 2), np.array([0, 0]))


def test_uniform_predictions_lose_the_log_of_the_number_of_classes() -> None:
    metrics = classification_metrics(np.full((6, 3), 1 / 3, dtype=np.float32), np.array([0, 1, 2, 0, 1, 2]))
    assert metrics["log_loss"] == pytest.approx(math.log(3))
    assert metrics["accuracy"] == pytest.approx(1 / 3)


def test_balanced_accuracy_counts_a_rare_class_as_much_as_a_common_one() -> None:
    labels = np.array([0, 0, 0, 1])
    metrics = classification_metrics(certain([0, 0, 0, 0], 2), labels)
    assert metrics["accuracy"] == pytest.approx(0.75)
    assert metrics["balanced_accuracy"] == pytest.approx(0.5)
    assert metrics["macro_f1"] == pytest.approx((6 / 7) / 2)


def test_a_class_with_no_test_image_changes_nothing() -> None:
    labels = np.array([0, 1, 1])
    with_it = classification_metrics(certain([0, 1, 0], 3), labels)
    without = classification_metrics(certain([0, 1, 0], 2), labels)
    assert with_it == pytest.approx(without)


def test_a_class_with_no_test_image_that_is_predicted_lowers_macro_f1() -> None:
    metrics = classification_metrics(certain([0, 2], 3), np.array([0, 1]))
    assert metrics["macro_f1"] == pytest.approx(1 / 3)
    assert metrics["balanced_accuracy"] == pytest.approx(1 / 2)


def test_a_certain_mistake_has_a_finite_loss() -> None:
    assert math.isfinite(classification_metrics(certain([1], 2), np.array([0]))["log_loss"])


@pytest.mark.parametrize(
    ("probabilities", "labels", "message"),
    [
        (np.ones((2, 2)) / 2, np.array([0]), "expected \\(n, num_classes\\)"),
        (np.ones((0, 2)), np.array([], dtype=int), "at least one"),
        (np.ones((1, 2)) / 2, np.array([2]), "labels in \\[0, 2\\)"),
        (np.array([[np.nan, 1.0]]), np.array([0]), "diverged"),
    ],
    ids=["shapes", "empty", "label", "nan"],
)
def test_impossible_input_is_refused(probabilities: np.ndarray, labels: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        classification_metrics(probabilities, labels)


def test_calibration_error_is_the_gap_between_confidence_and_accuracy() -> None:
    probabilities = np.tile([0.8, 0.2], (10, 1))
    labels = np.array([0] * 6 + [1] * 4)
    assert expected_calibration_error(probabilities, labels) == pytest.approx(0.2)


def test_calibration_error_does_not_let_bins_cancel() -> None:
    probabilities = np.array([[1.0, 0.0], [0.55, 0.45]])
    assert expected_calibration_error(probabilities, np.array([1, 0])) == pytest.approx((1.0 + 0.45) / 2)


def test_confusion_has_true_classes_in_rows_and_counts_every_seed() -> None:
    labels = np.array([0, 0, 1, 1], dtype=np.int32)
    shown = {0: certain([0, 1, 1, 0], 3), 1: certain([0, 0, 1, 2], 3)}
    matrix = Predictions.of_seeds(shown, labels).confusion()
    assert matrix.tolist() == [[3, 1, 0], [1, 2, 1], [0, 0, 0]]
    assert matrix.dtype == np.int64
