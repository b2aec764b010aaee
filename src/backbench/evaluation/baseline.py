"""What no backbone reaches too: logistic regression on raw pixels, so that a reader sees whether transfer pays.

Its cost is bounded, whatever the size of the data set: at most about `MOST_IMAGES` images are fitted, shrunk to 32 x 32
pixels and projected on their `NUM_COMPONENTS` principal components. So many images or fewer lose nothing by that:
a regression with an L2 penalty lies in the span of its images. Predictions pass in chunks. What both numbers were
chosen by is in docs/performance.md (The pixel baseline).
"""

import warnings
from dataclasses import dataclass

import numpy as np
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from backbench.data.arrays.augment import resized

SIDE_PIXELS = 32
NUM_VALUES = 3 * SIDE_PIXELS**2
INVERSE_REGULARISATIONS = (1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0)
MAX_ITERATIONS = 200
MOST_IMAGES = 10_000
NUM_COMPONENTS = 256
CHUNK_IMAGES = 1024
SEED = 0


@dataclass(frozen=True)
class PixelModel:
    """A fitted regression on a fitted projection, and the inverse regularisation `C` that it was chosen for.

    `val_loss` is its log loss on the images of val that it was chosen on, in nats.
    """

    projection: Pipeline
    regression: LogisticRegression
    inverse_regularisation: float
    val_loss: float

    @property
    def num_parameters(self) -> int:
        """Coefficients and intercepts of the linear map from pixels that the two make together."""
        return int(len(self.regression.intercept_) * (self.projection.n_features_in_ + 1))

    @property
    def num_iterations(self) -> int:
        return int(self.regression.n_iter_.max())


def drawn(labels: np.ndarray) -> np.ndarray:
    """Return rising rows of about `MOST_IMAGES` images, the same share of every class and at least one, or of all.

    Args:
        labels: int32 `(n,)`.
    """
    if len(labels) <= MOST_IMAGES:
        return np.arange(len(labels))
    order = np.random.default_rng(SEED).permutation(len(labels))
    by_class = order[np.argsort(labels[order], kind="stable")]
    _, first, counts = np.unique(labels[by_class], return_index=True, return_counts=True)
    kept = np.maximum(1, counts * MOST_IMAGES // len(labels))
    return np.sort(np.concatenate([by_class[start : start + num] for start, num in zip(first, kept, strict=True)]))


def pixel_values(images: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Shrink images to 32 x 32 pixels and lay them out as rows, chunk by chunk.

    Args:
        images: uint8 RGB `(n, S, S, 3)`, perhaps memory-mapped.
        rows: int `(m,)`, which of them.

    Returns:
        float64 `(m, 3072)` in [0, 1].
    """
    values = np.empty((len(rows), NUM_VALUES))
    for start in range(0, len(rows), CHUNK_IMAGES):
        chunk = images[rows[start : start + CHUNK_IMAGES]]
        values[start : start + CHUNK_IMAGES] = resized(chunk, SIDE_PIXELS).reshape(len(chunk), -1)
    values /= 255.0
    return values


def fit_pixels(
    train_values: np.ndarray, train_labels: np.ndarray, *, val_values: np.ndarray, val_labels: np.ndarray
) -> PixelModel:
    """Fit a multinomial logistic regression for every `C` of a grid; keep the lowest log loss on val.

    Values are standardised and projected first. One thread computes, so that the number of cores changes no bit. A fit
    ends after `MAX_ITERATIONS`, however near it came to its optimum: val decides.

    Args:
        train_values: float64 `(n, num_values)`.
        train_labels: int32 `(n,)`, every class present.
        val_values: float64 `(m, num_values)`.
        val_labels: int32 `(m,)`.

    Source:
        scikit-learn's `LogisticRegression` with L-BFGS, and its `PCA`.
    """
    num_components = min(NUM_COMPONENTS, *train_values.shape)
    projection = make_pipeline(StandardScaler(), PCA(num_components, random_state=SEED))
    models = []
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        train, val = projection.fit_transform(train_values), projection.transform(val_values)
        for strength in INVERSE_REGULARISATIONS:
            linear = LogisticRegression(C=strength, max_iter=MAX_ITERATIONS).fit(train, train_labels)
            val_loss = log_loss(val_labels, linear.predict_proba(val), labels=linear.classes_)
            models.append(PixelModel(projection, linear, strength, float(val_loss)))
    return min(models, key=lambda model: model.val_loss)


def pixel_probabilities(model: PixelModel, images: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Return float32 `(m, num_classes)` for rows, int `(m,)`, of uint8 RGB images `(n, S, S, 3)`, chunk by chunk."""
    probabilities = np.empty((len(rows), len(model.regression.classes_)), dtype=np.float32)
    with threadpool_limits(1):
        for start in range(0, len(rows), CHUNK_IMAGES):
            chunk = slice(start, start + CHUNK_IMAGES)
            projected = model.projection.transform(pixel_values(images, rows[chunk]))
            probabilities[chunk] = model.regression.predict_proba(projected)
    return probabilities
