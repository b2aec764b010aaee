"""What frozen features are worth: a linear probe, and the nearest neighbour, which fits nothing."""

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from backbench.evaluation.baseline import INVERSE_REGULARISATIONS
from pretraining.transfer.subsets import FewShotTask, Measurement

MAX_ITERATIONS = 2000


def linear_probe(task: FewShotTask) -> Measurement:
    """Fit a multinomial logistic regression on standardised features, `C` chosen by log loss on val.

    Features are `(n, feature_dim)`. One thread computes, so that the number of cores changes no bit. Test labels are
    read once, after the choice.

    Source:
        Kornblith et al. 2019, Do Better ImageNet Models Transfer Better, https://arxiv.org/abs/1805.08974.
    """
    train, val, test = (values.astype(np.float64) for values in (task.train_values, task.val_values, task.test_values))
    with threadpool_limits(1):
        probes = []
        for strength in INVERSE_REGULARISATIONS:
            regression = LogisticRegression(C=strength, max_iter=MAX_ITERATIONS)
            probe = make_pipeline(StandardScaler(), regression).fit(train, task.train_labels)
            loss = log_loss(task.val_labels, probe.predict_proba(val), labels=regression.classes_)
            probes.append((loss, strength, probe))
        _, choice, probe = min(probes, key=lambda each: each[0])
        return Measurement(choice, probe.score(val, task.val_labels), probe.score(test, task.test_labels))


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
