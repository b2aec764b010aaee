"""The model that a cell ends in: the frozen choice, trained once per seed, predicted and evaluated."""

from collections.abc import Sequence
from functools import cached_property, partial

import numpy as np

from backbench.adaptation.schedule import Fit, Hyperparameters
from backbench.adaptation.strategies import TrainablePart
from backbench.adaptation.training_inputs import TrainingInputs
from backbench.backbones.weights import save_weights
from backbench.config.strategy_config import OUTPUT
from backbench.evaluation.metrics import evaluate, probabilities_of
from backbench.evaluation.transferability import drawn, logme
from backbench.features.activations import ActivationSource
from backbench.results.compute import Stopwatch
from backbench.results.records import Choice, MetricsRecord, SeedRecord, fingerprint, over_seeds
from backbench.runtime.errors import DivergedError
from backbench.runtime.paths import Cell
from backbench.stages.train.seeds import FinishedSeeds

PREDICTED_SPLITS = ("val", "test")


class FinalModel:
    """Trains the frozen choice once per seed; nothing is built until a seed wants it."""

    def __init__(self, inputs: TrainingInputs, choice: Choice) -> None:
        self._inputs = inputs
        self._choice = choice

    @cached_property
    def _data(self) -> dict[str, ActivationSource]:
        return {split: self._inputs.activations(split, self._choice.boundary) for split in ("train", "val", "test")}

    @cached_property
    def _trainable_part(self) -> TrainablePart:
        return self._inputs.trainable_part(self._choice.boundary)

    def groups(self, seeds: Sequence[int]) -> list[list[int]]:
        """Split the seeds into those that train at once: heads all together, suffixes each alone.

        A group is trained whole or not at all, for its sums depend on how many train together.
        """
        return [list(seeds)] if self._choice.boundary == OUTPUT else [[seed] for seed in seeds]

    def names(self, seeds: Sequence[int]) -> dict[int, str]:
        """Name every seed's model by all that decides it: the fit, and who trains with it."""
        choice, fits = self._choice, self._inputs.fits_name("train/final_model")
        return {
            seed: fingerprint(fits, choice.boundary, choice.learning_rate, choice.weight_decay, group)
            for group in self.groups(seeds)
            for seed in group
        }

    def train(self, seeds: Sequence[int], state: FinishedSeeds) -> None:
        stopwatch = Stopwatch()
        train, val = self._data["train"], self._data["val"]
        trainable_part, choice = self._trainable_part, self._choice
        initial = [trainable_part.initial_values(train, val, seed=seed) for seed in seeds]
        candidates = [Hyperparameters(choice.learning_rate, choice.weight_decay, seed) for seed in seeds]
        fits = trainable_part.fit(candidates, initial, train, val)
        for seed, fit in zip(seeds, fits, strict=True):
            _require_finite(fit, seed, self._inputs.cell)
            logits = {split: trainable_part.logits(self._data[split], fit.weights) for split in PREDICTED_SPLITS}
            predicted = {split: probabilities_of(values) for split, values in logits.items()}
            metrics = {"val_loss": fit.best.val_loss, "val_accuracy": fit.best.val_accuracy}
            metrics |= evaluate(
                predicted["test"], self._data["test"].labels, val_probabilities=predicted["val"], val_labels=val.labels
            )
            record = SeedRecord(seed, metrics, len(fit.history), fit.history)
            state.keep(record, predicted, partial(save_weights, trainable_part.model), stopwatch)

    def metrics(self, seeds: Sequence[SeedRecord], *, cell_key: str, model_bytes: int) -> MetricsRecord:
        """Gather what was measured of all seeds, with the size of the model.

        LogME is of the pretrained features of the training images, none of which an adaptation has touched.
        """
        inputs, trainable_part, train = self._inputs, self._trainable_part, self._data["train"]
        rows = drawn(len(train.labels))
        features = trainable_part.frozen_features(train).take(np.zeros_like(rows), rows)
        boundary = inputs.boundary_record(self._choice.boundary)
        return MetricsRecord(
            cell_key=cell_key,
            backbone=inputs.cell.backbone,
            strategy=inputs.cell.strategy,
            boundary=boundary.boundary,
            num_parameters=boundary.num_prefix_parameters + trainable_part.num_parameters,
            num_trainable_parameters=trainable_part.num_trainable_parameters,
            logme=logme(features, train.labels[rows], num_classes=len(inputs.dataset.classes)),
            model_bytes=model_bytes,
            **over_seeds(seeds),
        )


def _require_finite(fit: Fit, seed: int, cell: Cell) -> None:
    """Refuse a final model that diverged, for unlike a trial it has no other beside it to choose."""
    if fit.reason:
        raise DivergedError(
            f"{cell}: expected finite losses of seed {seed}, found that it {fit.reason}; "
            f"lower the range learning_rate in conf/strategy/{cell.strategy}.yaml"
        )
