"""What trains, from which start, with which schedule: a strategy, as a trainable model and its initial values."""

import gc
import math
import sys
from collections.abc import Callable, Sequence
from functools import partial

import keras
import numpy as np

from backbench.adaptation.checkpoints import Checkpoints
from backbench.adaptation.heads import above_boundary, build_head, standardise
from backbench.adaptation.schedule import Fit, Hyperparameters, Schedule, Weights
from backbench.adaptation.stacked_training import StackedFitter
from backbench.adaptation.training import Fitter
from backbench.config.backbone_config import BackboneConfig
from backbench.config.strategy_config import StrategyConfig
from backbench.features.activations import Activations, ActivationSource, kept_views, outputs
from backbench.features.freezing import freeze_batch_norm
from backbench.results.records import EpochRecord
from backbench.runtime.errors import DivergedError, MemoryLimitError
from backbench.runtime.hardware import free_memory_bytes
from backbench.runtime.out_of_memory import is_out_of_memory
from backbench.runtime.units import size


def schedule_of(strategy: StrategyConfig) -> Schedule:
    return Schedule(
        epochs=strategy.epochs,
        batch_size=strategy.batch_size,
        warmup_fraction=strategy.warmup_fraction,
        early_stopping_patience=strategy.early_stopping_patience,
        accumulation_steps=strategy.accumulation_steps,
    )


FEATURE_DTYPE = "float32"


class TrainablePart:
    """The part of a cell that trains: the suffix, if the boundary leaves one, and a head on its features."""

    def __init__(
        self,
        suffix: keras.Model | None,
        backbone: BackboneConfig,
        strategy: StrategyConfig,
        *,
        num_classes: int,
        xla: bool = False,
    ) -> None:
        self._suffix = suffix
        self._feature_dim = backbone.feature_dim
        self._num_classes = num_classes
        self._strategy = strategy
        self._features: dict[ActivationSource, ActivationSource] = {}
        self._new_stack = partial(StackedFitter, backbone.feature_dim, num_classes, strategy.head, xla=xla)
        self._stacks: dict[tuple[Schedule, int, bool], StackedFitter] = {}
        self._most_heads = sys.maxsize
        self._head = build_head(self._feature_dim, num_classes, strategy.head, seed=0)
        if suffix is not None and not strategy.train_batch_norm:
            freeze_batch_norm(suffix)
        self.model = above_boundary(suffix, self._head)
        self._fitter: Fitter | None = None
        if suffix is not None:
            self._pretrained = suffix.get_weights()
            self._fitter = Fitter(self.model, schedule_of(strategy), xla=xla)

    @property
    def num_trainable_parameters(self) -> int:
        return sum(int(np.prod(variable.shape)) for variable in self.model.trainable_variables)

    @property
    def num_parameters(self) -> int:
        return int(self.model.count_params())

    def initial_values(self, train: ActivationSource, val: ActivationSource, *, seed: int) -> Weights:
        """Return the weights that every candidate of this seed starts from.

        The suffix starts at its pretrained values. The head is drawn from the seed, standardised to the
        training features, and, if the strategy has a `linear_probe_warmup`, trained on the frozen features first:
        once per learning rate listed there, keeping the one with the lowest validation loss.

        Raises:
            DivergedError: the head trains at none of those learning rates.

        Source:
            LP-FT, https://arxiv.org/abs/2202.10054.
        """
        train_features = self.frozen_features(train)
        drawn = build_head(self._feature_dim, self._num_classes, self._strategy.head, seed=seed)
        standardise(drawn, train_features)
        start = drawn.get_weights()
        config = self._strategy.linear_probe_warmup
        if config is not None:
            schedule = Schedule(config.epochs, self._strategy.batch_size, self._strategy.warmup_fraction, config.epochs)
            candidates = [Hyperparameters(rate, config.weight_decay, seed) for rate in config.learning_rates]
            starts = [start] * len(candidates)
            fits = self._fit_heads(schedule, candidates, starts, train_features, self.frozen_features(val))
            start = self._best_start(fits).weights
        self._head.set_weights(start)
        if self._suffix is not None:
            self._suffix.set_weights(self._pretrained)
        return self.model.get_weights()

    def fit(
        self,
        candidates: Sequence[Hyperparameters],
        initial: Sequence[Weights],
        train: ActivationSource,
        val: ActivationSource,
        *,
        should_stop: Callable[[int, Sequence[EpochRecord]], bool] | None = None,
        checkpoints: Checkpoints | None = None,
    ) -> list[Fit]:
        """Fit every candidate from its initial values: heads all at once, suffixes one after another.

        `train` and `val` are activations at the freeze boundary; `initial_values` makes `initial`, one per candidate.
        `should_stop` is told, after every epoch, the candidate's place and all its epochs so far; true ends its fit as
        pruned. It never ends a head, for a slice that stops saves nothing, and no head is asked to leave: all of them
        together take seconds.

        Raises:
            Interrupted: a fit was asked to leave, and did; fits that this call has finished begin again.
            MemoryLimitError: not even one image, or one head, fits.
        """
        if self._fitter is None:
            return self._fit_heads(schedule_of(self._strategy), candidates, initial, train, val)
        fits = []
        for place, (candidate, start) in enumerate(zip(candidates, initial, strict=True)):
            watch = None if should_stop is None else lambda history, place=place: should_stop(place, history)
            fits.append(self._fitter.fit(candidate, start, train, val, should_stop=watch, checkpoints=checkpoints))
        return fits

    def _best_start(self, fits: Sequence[Fit]) -> Fit:
        trained = [fit for fit in fits if not fit.reason]
        if not trained:
            raise DivergedError(
                f"expected a linear-probe warm-up with finite losses, found that every one {fits[0].reason}; "
                f"lower linear_probe_warmup.learning_rates in conf/strategy/{self._strategy.name}.yaml"
            )
        return min(trained, key=lambda fit: fit.best.val_loss)

    def logits(self, data: ActivationSource, weights: Weights) -> np.ndarray:
        """Return float32 logits `(num_examples, num_classes)`, in the own view; leaves the model at these weights."""
        self.model.set_weights(weights)
        return outputs(self.model, data)

    def _fit_heads(
        self,
        schedule: Schedule,
        candidates: Sequence[Hyperparameters],
        initial: Sequence[Weights],
        train: ActivationSource,
        val: ActivationSource,
    ) -> list[Fit]:
        """Fit heads as one stack, or as two where it does not fit into memory; later ones begin with what fitted.

        Slices are independent, so the outcome is the same but for the order of sums.

        Raises:
            MemoryLimitError: not even one head fits.
        """
        if len(candidates) <= self._most_heads:
            try:
                return self._stacked(schedule, candidates).fit(candidates, initial, train, val)
            except Exception as error:
                if not is_out_of_memory(error):
                    raise
            if len(candidates) == 1:
                raise MemoryLimitError(
                    "expected one head to fit into memory, found that the backend ran out of it; "
                    "lower batch_size in conf/strategy, or take a smaller backbone"
                )
            self._most_heads = math.ceil(len(candidates) / 2)
            self._stacks.clear()
            gc.collect()  # a model and its traced step refer to each other
        half = math.ceil(len(candidates) / 2)
        return [
            fit
            for part in (slice(half), slice(half, None))
            for fit in self._fit_heads(schedule, candidates[part], initial[part], train, val)
        ]

    def _stacked(self, schedule: Schedule, candidates: Sequence[Hyperparameters]) -> StackedFitter:
        """Return the stack of that form, built and traced once."""
        shared = len({candidate.seed for candidate in candidates}) == 1
        form = (schedule, len(candidates), shared)
        if form not in self._stacks:
            self._stacks[form] = self._new_stack(schedule, num_slices=len(candidates), shared_batches=shared)
        return self._stacks[form]

    def frozen_features(self, data: ActivationSource) -> ActivationSource:
        """Pool the suffix's features at its pretrained values, once per split."""
        if self._suffix is None:
            return data
        if data not in self._features:
            self._suffix.set_weights(self._pretrained)
            views = kept_views(data)
            shape = (len(views), len(data.labels), self._feature_dim)
            _require_room(feature_bytes(*shape), self._strategy.name)
            features = np.empty(shape, FEATURE_DTYPE)
            for place, view in enumerate(views):
                outputs(self._suffix, data, view=view, into=features[place])
            self._features[data] = Activations(features, data.labels)
        return self._features[data]

    def forget_features(self) -> None:
        """Give back the memory of pooled features; they are made again where they are asked for."""
        self._features.clear()


def feature_bytes(num_views: int, num_examples: int, feature_dim: int) -> int:
    """Return what the pooled features of a split take: they are held once, in memory."""
    return num_views * num_examples * feature_dim * np.dtype(FEATURE_DTYPE).itemsize


def _require_room(num_bytes: int, strategy: str) -> None:
    free = free_memory_bytes()
    if free is not None and num_bytes > free:
        raise MemoryLimitError(
            f"expected the pooled features of all views, {size(num_bytes)}, to fit into memory, found {size(free)} "
            f"free; lower views in conf/strategy/{strategy}.yaml, or take more memory"
        )
