"""What frozen features are worth: a linear probe, and the nearest neighbour, which fits nothing."""

import numpy as np
from sklearn.preprocessing import StandardScaler

from backbench.baseline import fit_pixels, pixel_probabilities
from backbench.transfer.subsets import FewShotTask, Measurement


def linear_probe(task: FewShotTask) -> Measurement:
    """Fit a multinomial logistic regression on standardised features, `C` chosen by log loss on val.

    It is the regression of the pixel baseline, on float features `(n, feature_dim)`. Test labels are read once,
    after the choice.

    Source:
        Kornblith et al. 2019, Do Better ImageNet Models Transfer Better, https://arxiv.org/abs/1805.08974.
    """
    model = fit_pixels(
        task.train_values.astype(np.float64),
        task.train_labels,
        val_values=task.val_values.astype(np.float64),
        val_labels=task.val_labels,
    )

    def accuracy(values: np.ndarray, labels: np.ndarray) -> float:
        return float((pixel_probabilities(model, values.astype(np.float64)).argmax(axis=1) == labels).mean())

    return Measurement(
        model.inverse_regularisation,
        accuracy(task.val_values, task.val_labels),
        accuracy(task.test_values, task.test_labels),
    )


def nearest_neighbour(task: FewShotTask) -> Measurement:
    """Give every image the class of the training image with the highest cosine similarity; nothing is chosen.

    Features `(n, feature_dim)` are standardised by the training features first: features after a ReLU all point
    into one orthant, and their common mean would rule the cosine.
    """
    scaler = StandardScaler().fit(task.train_values.astype(np.float64))

    def directions(values: np.ndarray) -> np.ndarray:
        scaled = scaler.transform(values.astype(np.float64))
        return np.asarray(scaled / np.maximum(np.linalg.norm(scaled, axis=1, keepdims=True), 1e-12))

    train = directions(task.train_values)

    def accuracy(values: np.ndarray, labels: np.ndarray) -> float:
        nearest = (directions(values) @ train.T).argmax(axis=1)
        return float((task.train_labels[nearest] == labels).mean())

    return Measurement(None, accuracy(task.val_values, task.val_labels), accuracy(task.test_values, task.test_labels))
