"""What no backbone reaches too: logistic regression on raw pixels, so that a reader sees whether transfer pays."""

from dataclasses import dataclass

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from backbench.data.augment import resized

SIDE_PIXELS = 32
INVERSE_REGULARISATIONS = (1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0)
MAX_ITERATIONS = 2000


@dataclass(frozen=True)
class PixelModel:
    """A fitted regression, the inverse regularisation `C` that it was chosen for, and its log loss on val in nats."""

    regression: Pipeline
    inverse_regularisation: float
    val_loss: float

    @property
    def num_parameters(self) -> int:
        """Coefficients and intercepts; the standardisation is no parameter."""
        linear = self.regression[-1]
        return int(linear.coef_.size + linear.intercept_.size)

    @property
    def num_iterations(self) -> int:
        return int(self.regression[-1].n_iter_.max())


def pixel_values(images: np.ndarray) -> np.ndarray:
    """Shrink images to 32 x 32 pixels and lay them out as rows.

    Args:
        images: uint8 RGB `(n, S, S, 3)`.

    Returns:
        float64 `(n, 3072)` in [0, 1].
    """
    return resized(images, SIDE_PIXELS).reshape(len(images), -1) / 255.0


def fit_pixels(
    train_values: np.ndarray, train_labels: np.ndarray, *, val_values: np.ndarray, val_labels: np.ndarray
) -> PixelModel:
    """Fit a standardised multinomial logistic regression for every `C` of a grid; keep the lowest log loss on val.

    One thread computes, so that the number of cores changes no bit.

    Args:
        train_values: float64 `(n, num_values)`.
        train_labels: int32 `(n,)`, every class present.
        val_values: float64 `(m, num_values)`.
        val_labels: int32 `(m,)`.

    Source:
        scikit-learn's `LogisticRegression` with L-BFGS.
    """
    models = []
    with threadpool_limits(1):
        for strength in INVERSE_REGULARISATIONS:
            linear = LogisticRegression(C=strength, max_iter=MAX_ITERATIONS)
            regression = make_pipeline(StandardScaler(), linear).fit(train_values, train_labels)
            val_loss = log_loss(val_labels, regression.predict_proba(val_values), labels=linear.classes_)
            models.append(PixelModel(regression, strength, float(val_loss)))
    return min(models, key=lambda model: model.val_loss)


def pixel_probabilities(model: PixelModel, values: np.ndarray) -> np.ndarray:
    """Return float32 `(n, num_classes)` for float64 values `(n, num_values)`."""
    with threadpool_limits(1):
        probabilities = model.regression.predict_proba(values)
    return np.asarray(probabilities, dtype=np.float32)
