"""What trains, from which start, with which schedule: a strategy, as a trainable model and its initial values."""

import keras
import numpy as np

from backbench.activations import Activations, ActivationSource, in_order, outputs
from backbench.config import BackboneConfig, StrategyConfig
from backbench.freezing import CutModel, freeze_batch_norm
from backbench.heads import build_head, standardise
from backbench.training import Candidate, Fitter, Schedule

# A head starts from features of so many views where they are unlimited.
MAX_FEATURE_VIEWS = 8


def schedule_of(strategy: StrategyConfig) -> Schedule:
    return Schedule(
        epochs=strategy.epochs,
        batch_size=strategy.batch_size,
        warmup_fraction=strategy.warmup_fraction,
        early_stopping_patience=strategy.early_stopping_patience,
    )


class Adapter:
    """The part of a cell that trains: the suffix, if the boundary leaves one, and a head on its features."""

    def __init__(
        self, cut_model: CutModel, backbone: BackboneConfig, strategy: StrategyConfig, *, num_classes: int
    ) -> None:
        self._suffix = cut_model.suffix
        self._feature_dim = backbone.feature_dim
        self._num_classes = num_classes
        self._strategy = strategy
        self._features: dict[ActivationSource, Activations] = {}
        self._head = build_head(self._feature_dim, num_classes, strategy.head, seed=0)
        self.model = self._head
        if self._suffix is not None:
            if not strategy.train_batch_norm:
                freeze_batch_norm(self._suffix)
            activations = keras.Input(self._suffix.input_shape[1:], name="activations")
            self.model = keras.Model(activations, self._head(self._suffix(activations)))
            self._pretrained = self._suffix.get_weights()
        self.fitter = Fitter(self.model, schedule_of(strategy))
        self._head_fitter = self._build_head_fitter()

    @property
    def num_trainable_parameters(self) -> int:
        return sum(int(np.prod(variable.shape)) for variable in self.model.trainable_variables)

    @property
    def num_parameters(self) -> int:
        return int(self.model.count_params())

    def initial_values(self, train: ActivationSource, val: ActivationSource, *, seed: int) -> list[np.ndarray]:
        """Return the weights that every candidate of this seed starts from.

        The suffix starts at its pretrained values. The head is drawn from the seed, standardised to the
        training features, and, if the strategy has a `head_start`, trained on the frozen features first:
        once per learning rate listed there, keeping the one with the lowest validation loss.

        Source:
            LP-FT, https://arxiv.org/abs/2202.10054.
        """
        train_features, val_features = self._frozen_features(train), self._frozen_features(val)
        drawn = build_head(self._feature_dim, self._num_classes, self._strategy.head, seed=seed)
        standardise(drawn, train_features.values.reshape(-1, self._feature_dim).astype("float32"))
        start = drawn.get_weights()
        if self._head_fitter is not None and self._strategy.head_start is not None:
            start_config = self._strategy.head_start
            fits = [
                self._head_fitter.fit(
                    Candidate(rate, start_config.weight_decay, seed), start, train_features, val_features
                )
                for rate in start_config.learning_rates
            ]
            start = min(fits, key=lambda fit: fit.best.val_loss).weights
        self._head.set_weights(start)
        if self._suffix is not None:
            self._suffix.set_weights(self._pretrained)
        return self.model.get_weights()

    def _build_head_fitter(self) -> Fitter | None:
        if self._strategy.head_start is None:
            return None
        schedule = Schedule(
            epochs=self._strategy.head_start.epochs,
            batch_size=self._strategy.batch_size,
            warmup_fraction=self._strategy.warmup_fraction,
            early_stopping_patience=self._strategy.head_start.epochs,
        )
        head = build_head(self._feature_dim, self._num_classes, self._strategy.head, seed=0)
        return Fitter(head, schedule)

    def _frozen_features(self, data: ActivationSource) -> Activations:
        """Pool the suffix's features at its pretrained values, once per split, of a few views."""
        if data not in self._features:
            if self._suffix is not None:
                self._suffix.set_weights(self._pretrained)
            views = [self._pooled(data, view) for view in range(min(data.num_views, MAX_FEATURE_VIEWS))]
            self._features[data] = Activations(np.stack(views), data.labels)
        return self._features[data]

    def _pooled(self, data: ActivationSource, view: int) -> np.ndarray:
        if self._suffix is not None:
            return outputs(self._suffix, data, view=view)
        return np.concatenate([batch[:num_real] for num_real, batch in in_order(data, view=view)])
