"""Batches of the source task: a batch depends on the recipe and its step, on nothing that happened before."""

import numpy as np

from backbench.runtime.errors import ConfigError
from pretraining.config import PretrainConfig
from pretraining.formula import mixture
from pretraining.formula.cache import SourceImages

EPOCH_STREAM = 1
STEP_STREAM = 2


def labels_of(parts: list[str]) -> np.ndarray:
    """Return the labels that the named parts of the mixture own, rising.

    Raises:
        ConfigError: there is no part of that name.
    """
    names = [part.name for part in mixture.PARTS]
    unknown = sorted(set(parts) - set(names))
    if unknown or not parts:
        raise ConfigError(f"pretraining/conf/pretrain: parts: expected some of {names}, found {parts}; correct it")
    starts = np.cumsum([0, *(part.num_classes for part in mixture.PARTS)])
    chosen = sorted(names.index(name) for name in set(parts))
    return np.concatenate([np.arange(starts[index], starts[index + 1]) for index in chosen])


class SourceBatches:
    """The batches of one run."""

    def __init__(self, source: SourceImages, config: PretrainConfig) -> None:
        """Choose the images that the recipe uses.

        Raises:
            ConfigError: `parts` names an unknown part, or too few images are left for one batch.
        """
        self._source = source
        self._config = config
        rows = np.arange(len(source.labels))
        if config.parts is not None:
            rows = rows[np.isin(source.labels, labels_of(config.parts))]
        self._easy, self._all = rows[mixture.is_easy(rows)], rows
        fewest = min(len(self._easy) if config.easy_share > 0 else len(rows), len(rows))
        if fewest < config.batch_size:
            raise ConfigError(
                f"pretraining/conf/pretrain: expected at least {config.batch_size} images for a batch, found {fewest} "
                "of the parts in use; raise num_images"
            )

    def rows_at(self, step: int) -> np.ndarray:
        """Return the rows of a step, rising; every epoch is a new permutation of the images in use.

        The first steps see easy images only; without them the loss stays at its start for a long time.
        """
        config = self._config
        rows = self._easy if step < config.easy_share * config.steps else self._all
        epoch, position = divmod(step, len(rows) // config.batch_size)
        order = np.random.default_rng((config.seed, EPOCH_STREAM, epoch)).permutation(rows)
        return np.sort(order[position * config.batch_size : (position + 1) * config.batch_size])

    def at(self, step: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the batch of a step: augmented uint8 RGB `(batch, size, size, 3)`, and int32 labels `(batch,)`."""
        rows = self.rows_at(step)
        augmentation = self._config.augmentation
        rng = np.random.default_rng((self._config.seed, STEP_STREAM, step))
        images = self._source.images[rows]
        reach, side = augmentation.shift_pixels, images.shape[1]
        padded = np.pad(images, ((0, 0), (reach, reach), (reach, reach), (0, 0)), mode="edge")
        seen = np.empty_like(images)
        for row, (down, right) in enumerate(rng.integers(0, 2 * reach + 1, (len(images), 2))):
            channels = rng.permutation(3) if augmentation.permute_channels else [0, 1, 2]
            seen[row] = padded[row, down : down + side, right : right + side][..., channels]
        inverted = rng.random(len(images)) < augmentation.invert_share
        seen[inverted] = 255 - seen[inverted]
        return seen, self._source.labels[rows]
