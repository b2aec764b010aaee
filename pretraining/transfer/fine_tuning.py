"""Train the whole network on a few images: from formula weights, or from scratch, each as suits it best.

From weights: BatchNorm stays frozen, and a head that was trained on the frozen features first (LP-FT) starts.
From scratch: BatchNorm trains, the head starts as drawn. Steps, views and images are the same.
"""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import keras
import numpy as np

from backbench.adaptation.schedule import Hyperparameters, loss_and_accuracy
from backbench.adaptation.strategies import TrainablePart
from backbench.backbones.graph import preprocess
from backbench.config.backbone_config import BackboneConfig
from backbench.config.dataset_config import AugmentationConfig
from backbench.config.strategy_config import INPUT, HeadConfig, RangeConfig, StrategyConfig
from backbench.data.arrays.augment import augmented, resized
from backbench.features.activations import Activations
from backbench.features.freezing import cut, resolve_boundary
from pretraining.config import FineTuningConfig, TransferConfig
from pretraining.transfer.subsets import FewShotTask, Measurement
from pretraining.unit_scale import has_batch_norm, scale_to_unit

VALUES_DTYPE: Final = "float16"
NUM_CALIBRATION_IMAGES = 128


def whole_network(config: FineTuningConfig, *, from_scratch: bool, num_train: int) -> StrategyConfig:
    """Return the strategy whose epochs add up to `num_steps`, rounded up, however few the training images are."""
    epochs = math.ceil(config.num_steps / math.ceil(num_train / config.batch_size))
    return StrategyConfig(
        name="from_scratch" if from_scratch else "whole_network",
        boundary=INPUT,
        unfreeze=None,
        head=HeadConfig(hidden_units=0, dropout=0.0),
        linear_probe_warmup=None if from_scratch else config.linear_probe_warmup,
        views=config.views,
        activation_dtype=VALUES_DTYPE,
        activation_limit_gigabytes=0.0,
        epochs=epochs,
        batch_size=config.batch_size,
        accumulation_steps=1,
        warmup_fraction=config.warmup_fraction,
        early_stopping_patience=epochs,
        train_batch_norm=from_scratch,
        learning_rate=RangeConfig(low=min(_rates(config, from_scratch)), high=max(_rates(config, from_scratch))),
        weight_decay=RangeConfig(low=config.weight_decay, high=config.weight_decay),
    )


def _rates(config: FineTuningConfig, from_scratch: bool) -> list[float]:
    return config.scratch_learning_rates if from_scratch else config.learning_rates


def prepared_views(
    images: np.ndarray, backbone: BackboneConfig, augmentation: AugmentationConfig, *, num_views: int, seed: int
) -> np.ndarray:
    """Return `num_views` versions of uint8 images `(n, S, S, 3)`, scaled as the backbone asks.

    They are float16 `(num_views, n, size, size, 3)`; the first is the image itself.
    """
    size, indices = backbone.input_size_pixels, np.arange(len(images))
    values = np.empty((num_views, len(images), size, size, 3), VALUES_DTYPE)
    for view in range(num_views):
        seen = augmented(images, augmentation, seed=seed, views=np.full(len(images), view), indices=indices)
        values[view] = preprocess(backbone, resized(seen, size))
    return values


def ready_from_scratch(model: keras.Model, images: np.ndarray, *, batch_norm_momentum: float) -> None:
    """Bring freshly drawn weights to a scale where training starts at once.

    BatchNorm's running statistics are set to those of a batch. Keras's own 0 and 1 would take hundreds of steps to
    forget at its momentum of 0.99 or 0.999, and until then validation, and the head's standardisation, would see a
    network that training never saw. Without BatchNorm, convolutions are scaled to unit output.

    Args:
        model: A network with drawn weights; changed in place.
        images: Preprocessed `(n, size, size, 3)` float32, without labels.
        batch_norm_momentum: What the running statistics keep per step from here on.
    """
    if not has_batch_norm(model):
        scale_to_unit(model, images)
        return
    norms = [layer for layer in model.layers if isinstance(layer, keras.layers.BatchNormalization)]
    for layer in norms:
        layer.momentum = 0.0
    model(images, training=True)
    for layer in norms:
        layer.momentum = batch_norm_momentum


def recipe_of(config: TransferConfig, backbone: str, *, from_scratch: bool) -> FineTuningConfig:
    """Return the settings of one arm of one backbone."""
    rates = config.scratch_learning_rates_of.get(backbone)
    if from_scratch and rates:
        return replace(config.fine_tuning, scratch_learning_rates=rates)
    return config.fine_tuning


class FineTuner:
    """One backbone with its starting weights, built and traced once for one number of training images."""

    def __init__(
        self, model: keras.Model, backbone: BackboneConfig, config: FineTuningConfig, *, from_scratch: bool
    ) -> None:
        """Keep the model; the first task builds what trains.

        Args:
            model: Maps preprocessed images to pooled features; trained in place, so nobody else may use it.
            backbone: Its preprocessing and sizes.
            config: Schedule, views and learning rates.
            from_scratch: The weights are drawn, not pretrained.
        """
        self._model = model
        self._backbone = backbone
        self._config = config
        self._from_scratch = from_scratch
        self._trainable_part: TrainablePart | None = None

    def measure(self, task: FewShotTask, *, seed: int, rates: Sequence[float] | None = None) -> Measurement:
        """Train at each learning rate, keep the lowest validation loss, then read the test labels once.

        Args:
            task: Images `(n, S, S, 3)` uint8; every task has as many training images as the first.
            seed: Draws head, batches and views.
            rates: The learning rates to choose from; None takes all of the configuration.
        """
        train = self._activations(task.train_values, task.train_labels, self._config.views, seed)
        val = self._activations(task.val_values, task.val_labels, 1, seed)
        if self._trainable_part is None:
            self._trainable_part = self._build(train, task.num_classes)
        trainable_part = self._trainable_part
        initial = trainable_part.initial_values(train, val, seed=seed)
        tried = list(rates or _rates(self._config, self._from_scratch))
        candidates = [Hyperparameters(rate, self._config.weight_decay, seed) for rate in tried]
        fits = trainable_part.fit(candidates, [initial] * len(tried), train, val)
        chosen = min(range(len(tried)), key=lambda place: fits[place].best.val_loss)
        test = self._activations(task.test_values, task.test_labels, 1, seed)
        _, test_accuracy = loss_and_accuracy(trainable_part.logits(test, fits[chosen].weights), test.labels)
        return Measurement(tried[chosen], fits[chosen].best.val_accuracy, test_accuracy)

    def _activations(self, images: np.ndarray, labels: np.ndarray, num_views: int, seed: int) -> Activations:
        augmentation = self._config.augmentation
        return Activations(prepared_views(images, self._backbone, augmentation, num_views=num_views, seed=seed), labels)

    def _build(self, train: Activations, num_classes: int) -> TrainablePart:
        if self._from_scratch:
            # Images lie in the order of their classes.
            every = math.ceil(len(train.labels) / NUM_CALIBRATION_IMAGES)
            batch = train.values[0, ::every].astype("float32")
            ready_from_scratch(self._model, batch, batch_norm_momentum=self._config.batch_norm_momentum)
        strategy = whole_network(self._config, from_scratch=self._from_scratch, num_train=len(train.labels))
        (boundary,) = strategy.boundaries
        cut_model = cut(self._model, resolve_boundary(self._model, self._backbone, boundary))
        return TrainablePart(cut_model.suffix, self._backbone, strategy, num_classes=num_classes)
