"""Every headline number of a cell under resamples of the test images, by seed: what intervals are made of."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from threadpoolctl import threadpool_limits

from backbench.evaluation.metrics import TOP, places
from backbench.evaluation.predictions import Predictions

Floats = NDArray[np.float64]

NUM_RESAMPLES = 2000
# Counts are drawn in blocks of so many values, which bounds the memory.
BLOCK_DRAWS = 1 << 21
# As scikit-learn's `log_loss` bounds probabilities, so that a certain mistake has a finite loss.
SMALLEST_PROBABILITY = float(np.finfo(np.float64).eps)


@dataclass(frozen=True)
class Resampled:
    """One number of one cell.

    `measured` is float64 `(num_seeds,)`, on the test images as they are.
    `resampled` is float64 `(num_resamples, num_seeds)`: row r of every cell has seen the same images.
    `num_images` is how many test images there are, `num_groups` how many groups of them, None where images are drawn.
    `share_of` is set where the number is a share in [0, 1] that may come near its ends: of how many images that count
    alike, or groups, it has the variance. None where it is no share.
    `inflation` is how many times the variance of a mean over images is that of independent ones: 1, or more where the
    models that predicted them have training images in common.
    """

    measured: Floats
    resampled: Floats
    num_images: int
    share_of: float | None = None
    num_groups: int | None = None
    inflation: float = 1.0

    @property
    def num_independent(self) -> int:
        """How many images, or groups of them, are drawn one by one."""
        return self.num_images if self.num_groups is None else self.num_groups

    @property
    def difference_of(self) -> float | None:
        """Of how many images that count alike a difference of such shares has the variance; None where it is no share.

        Of groups as many as show the variance that one seed has, which is between the number of groups and that of
        images: two groups more, where two images would do, would hide all that twenty groups can tell.
        """
        if self.share_of is None or self.num_groups is None:
            return self.share_of
        of_one = self.inflation * float(np.mean(np.var(self.resampled, axis=0)))
        if of_one == 0.0:
            return self.share_of
        most = self.num_images / self.inflation
        return float(np.clip(self.mean * (1 - self.mean) / of_one, self.share_of, most))

    @property
    def num_seeds(self) -> int:
        return len(self.measured)

    @property
    def mean(self) -> float:
        """The mean over seeds, on the test images as they are."""
        return float(self.measured.mean())

    @cached_property
    def means(self) -> Floats:
        """The mean over seeds under each resample, as far off as the inflation says, float64 `(num_resamples,)`."""
        means = np.asarray(self.resampled.mean(axis=1))
        return means if self.inflation == 1.0 else self.mean + np.sqrt(self.inflation) * (means - self.mean)

    @cached_property
    def variance_seen(self) -> float:
        """The variance of the mean over seeds, as the seeds show it; 0 for one seed, which shows none."""
        return 0.0 if self.num_seeds == 1 else float(np.var(self.measured, ddof=1)) / self.num_seeds

    @cached_property
    def variance_beyond_images(self) -> float:
        """What of that variance images do not explain; by chance it may be below 0.

        Seeds differ on a finite test set even where they are equally good: each is wrong about other images. That
        part is in the resamples already.
        """
        if self.num_seeds == 1:
            return 0.0
        of_one = float(np.mean(np.var(self.resampled, axis=0)))
        of_mean = float(np.var(self.means)) / self.inflation
        return self.variance_seen - max(0.0, of_one - of_mean) / (self.num_seeds - 1)


def resample(
    predictions: Iterable[Predictions],
    groups: NDArray[Any] | None = None,
    *,
    inflation: float = 1.0,
    num_resamples: int = NUM_RESAMPLES,
) -> list[dict[str, Resampled]]:
    """Measure cells on the same resamples of their test images.

    Args:
        predictions: Of every cell, on the same images in the same order; of each, what is counted is kept, and no
            probabilities are.
        groups: int `(num_images,)`, to which of at least two groups, counted from 0, each image belongs; then groups
            are drawn. None where images are.
        inflation: As `Resampled` has it; a share is then one of as many fewer images.
        num_resamples: How often n of the n images are drawn with replacement.

    Returns:
        For each cell its `accuracy`, `balanced_accuracy`, `macro_f1`, `log_loss` (nats), and, of more than five
        classes, `top_5_accuracy`; as `metrics.classification_metrics` has them.
    """
    measured = [_Measured(each, groups) for each in predictions]
    num_images = measured[0].num_images
    num_groups = None if groups is None else int(groups.max()) + 1
    drawn = image_counts(num_images, num_resamples) if groups is None else group_counts(groups, num_resamples)
    once = np.ones((1, num_images))
    # The number of threads would decide the order of sums.
    with threadpool_limits(1):
        as_they_are = [each.metrics(once) for each in measured]
        blocks: list[dict[str, list[Floats]]] = [{name: [] for name in each} for each in as_they_are]
        for counts in drawn:
            for cell, block in zip(measured, blocks, strict=True):
                for name, values in cell.metrics(counts).items():
                    block[name].append(values)
    return [
        {
            name: Resampled(
                whole[name][0],
                np.concatenate(values),
                num_images,
                None if share_of is None else share_of / inflation,
                num_groups,
                inflation,
            )
            for name, values in block.items()
            for share_of in [cell.share_of[name]]
        }
        for cell, whole, block in zip(measured, as_they_are, blocks, strict=True)
    ]


def inflation_of(folds: int | None) -> float:
    """Return how many times the variance of a mean over the images of k folds is that of independent images.

    The models of two folds have most of their training images in common, and are wrong for the same reasons. Their mean
    over k folds has the variance of one, times 1 / k + n_test / n_train. Val chooses, so it counts as training images:
    n_test / n_train is 1 / (k - 1).

    Source:
        Nadeau and Bengio 2003, Inference for the Generalization Error, equation 7.
    """
    return 1.0 if folds is None else 1 + folds / (folds - 1)


def image_counts(num_images: int, num_resamples: int) -> Iterator[Floats]:
    """Yield how often each image is drawn, float64 `(rows, num_images)` by block, a function of the two numbers alone.

    Source:
        Efron and Tibshirani 1993, An Introduction to the Bootstrap, chapter 6.
    """
    random = np.random.default_rng((num_images, num_resamples))
    rows = max(1, BLOCK_DRAWS // num_images)
    for start in range(0, num_resamples, rows):
        size = min(rows, num_resamples - start)
        yield random.multinomial(num_images, np.full(num_images, 1 / num_images), size=size).astype(np.float64)


def group_counts(groups: NDArray[Any], num_resamples: int) -> Iterator[Floats]:
    """Yield how often each image is drawn with its group, as `image_counts` does; `groups` is int `(num_images,)`.

    One group less is drawn than there are: with all of them the variance would be too small by one in their number,
    which is much where they are few.

    Source:
        Rao and Wu 1988, Resampling Inference With Complex Survey Data.
    """
    num_images, num_groups = len(groups), int(groups.max()) + 1
    random = np.random.default_rng((num_images, num_groups, num_resamples))
    rows = max(1, BLOCK_DRAWS // num_images)
    for start in range(0, num_resamples, rows):
        size = min(rows, num_resamples - start)
        drawn = random.multinomial(num_groups - 1, np.full(num_groups, 1 / num_groups), size=size)
        yield drawn[:, groups].astype(np.float64)


class _Measured:
    """What of one cell's predictions is the same under every resample."""

    def __init__(self, predictions: Predictions, groups: NDArray[Any] | None = None) -> None:
        labels = predictions.labels
        num_seeds, self.num_images, num_classes = predictions.probabilities.shape
        self._correct, self._loss = np.empty((2, num_seeds, self.num_images))
        in_top = np.empty((num_seeds, self.num_images), bool)
        self._of_class = _membership(labels, num_classes)
        self._shown_as = []
        for seed, of_seed in enumerate(predictions.probabilities):
            probabilities = of_seed.astype(np.float64)
            probabilities /= probabilities.sum(axis=1, keepdims=True)
            own = np.take_along_axis(probabilities, labels[:, None], axis=1)
            place = places(probabilities, labels)
            self._correct[seed], in_top[seed] = place == 0, place < TOP
            self._loss[seed] = -np.log(np.clip(own[:, 0], SMALLEST_PROBABILITY, None))
            self._shown_as.append(_membership(probabilities.argmax(axis=1), num_classes))
        self._in_top = in_top if num_classes > TOP else None
        self.share_of = _shares_of(labels, np.arange(self.num_images) if groups is None else groups)

    def metrics(self, counts: Floats) -> dict[str, Floats]:
        """Return each number, float64 `(rows, num_seeds)`, of images counted `(rows, num_images)` times."""
        num_images = counts.sum(axis=1, keepdims=True)
        recalls, f1 = zip(*(self._by_class(counts, seed) for seed in range(len(self._correct))), strict=True)
        values = {
            "accuracy": counts @ self._correct.T / num_images,
            "log_loss": counts @ self._loss.T / num_images,
            "balanced_accuracy": np.stack(recalls, axis=1),
            "macro_f1": np.stack(f1, axis=1),
        }
        if self._in_top is not None:
            values["top_5_accuracy"] = counts @ self._in_top.T.astype(np.float64) / num_images
        return values

    def _by_class(self, counts: Floats, seed: int) -> tuple[Floats, Floats]:
        """Return mean recall and macro F1 of one seed, `(rows,)` each; a class that nothing speaks of counts not."""
        actual = np.asarray(self._of_class.T @ counts.T)
        shown = np.asarray(self._shown_as[seed].T @ counts.T)
        right = np.asarray(self._of_class.T @ (counts * self._correct[seed]).T)
        with np.errstate(invalid="ignore"):
            return np.nanmean(right / actual, axis=0), np.nanmean(2 * right / (actual + shown), axis=0)


def _shares_of(labels: NDArray[Any], groups: NDArray[Any]) -> dict[str, float | None]:
    """Return for each number how many images that count alike it is a share of, or how many groups of one size.

    A mean over classes counts an image of a rare class more, so that it is a share of fewer.
    """
    sizes = np.array([_num_alike(groups[labels == label]) for label in np.unique(labels)])
    by_class = float(len(sizes) ** 2 / np.sum(1 / sizes))
    of_images, of_classes = ("accuracy", "top_5_accuracy"), ("balanced_accuracy", "macro_f1")
    return {**dict.fromkeys(of_images, _num_alike(groups)), **dict.fromkeys(of_classes, by_class), "log_loss": None}


def _num_alike(groups: NDArray[Any]) -> float:
    """Return how many groups of one size a mean over images has the variance of, where each group is of one mind.

    Source:
        Kish 1965, Survey Sampling: the sum of sizes, squared, over the sum of their squares.
    """
    sizes = np.unique(groups, return_counts=True)[1].astype(np.float64)
    return float(sizes.sum() ** 2 / np.sum(sizes**2))


def _membership(classes: NDArray[Any], num_classes: int) -> Any:
    """Return a sparse `(num_images, num_classes)` with a one where the image is of the class."""
    num_images = len(classes)
    return csr_matrix((np.ones(num_images), (np.arange(num_images), classes)), shape=(num_images, num_classes))
