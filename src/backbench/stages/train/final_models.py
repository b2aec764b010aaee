"""The models that a cell ends in: the frozen choice, trained once per seed, predicted and evaluated."""

from collections.abc import Sequence
from functools import cached_property, partial

import numpy as np

from backbench.adaptation.checkpoints import Checkpoints
from backbench.adaptation.schedule import Fit, Hyperparameters
from backbench.adaptation.strategies import TrainablePart
from backbench.adaptation.training_inputs import TrainingInputs
from backbench.backbones.weights import save_weights
from backbench.evaluation.metrics import evaluate, probabilities_of
from backbench.evaluation.transferability import drawn, logme
from backbench.features.activations import ActivationSource
from backbench.results.compute import Compute, Stopwatch
from backbench.results.model_folder import FROZEN, seed_file
from backbench.results.records import BestRecord, MetricsRecord, SeedRecord, over_seeds
from backbench.runtime.errors import DivergedError
from backbench.runtime.interruption import Interrupted
from backbench.runtime.paths import Cell
from backbench.stages.train.model_files import describe_model
from backbench.stages.train.seeds import PREDICTED_SPLITS, finished_seeds


class FinalModels:
    """Trains the frozen choice once per seed; nothing is built until a seed wants it."""

    def __init__(self, inputs: TrainingInputs, best: BestRecord) -> None:
        self._inputs, self._best, self._choice = inputs, best, best.choice
        self._finished = finished_seeds(inputs, best.choice, inputs.config.benchmark.seeds)

    @cached_property
    def _data(self) -> dict[str, ActivationSource]:
        return {split: self._inputs.activations(split, self._choice.boundary) for split in ("train", "val", "test")}

    @cached_property
    def _trainable_part(self) -> TrainablePart:
        return self._inputs.trainable_part(self._choice.boundary)

    def train(self, seeds: Sequence[int]) -> None:
        """Train seeds, those that train at once, and keep what comes of it; return at once where that is there.

        Raises:
            DivergedError: a loss is not finite.
            Interrupted: this process was asked to leave; the epochs that are done lie in checkpoints.
        """
        if all(map(self._finished.is_done, seeds)):
            return
        stopwatch = Stopwatch()
        train, val = self._data["train"], self._data["val"]
        trainable_part, choice = self._trainable_part, self._choice
        initial = [trainable_part.initial_values(train, val, seed=seed) for seed in seeds]
        candidates = [Hyperparameters(choice.learning_rate, choice.weight_decay, seed) for seed in seeds]
        checkpoints = Checkpoints(self._finished.checkpoints(seeds[0]))
        try:
            fits = trainable_part.fit(candidates, initial, train, val, checkpoints=checkpoints)
        except Interrupted:
            self._finished.leave(seeds[0], stopwatch.lap())
            raise
        for seed, fit in zip(seeds, fits, strict=True):
            self._keep(seed, fit, stopwatch)

    def _keep(self, seed: int, fit: Fit, stopwatch: Stopwatch) -> None:
        _require_finite(fit, seed, self._inputs.cell)
        data, trainable_part = self._data, self._trainable_part
        logits = {split: trainable_part.logits(data[split], fit.weights) for split in PREDICTED_SPLITS}
        predicted = {split: probabilities_of(values) for split, values in logits.items()}
        metrics = {"val_loss": fit.best.val_loss, "val_accuracy": fit.best.val_accuracy}
        metrics |= evaluate(
            predicted["test"], data["test"].labels, val_probabilities=predicted["val"], val_labels=data["val"].labels
        )
        record = SeedRecord(seed, metrics, len(fit.history), fit.history)
        self._finished.keep(record, predicted, partial(save_weights, trainable_part.model), stopwatch)

    def describe(self) -> tuple[MetricsRecord, Compute]:
        """Write the folder of the cell's models, of seeds that are all finished; return what was measured of them."""
        stopwatch, cell = Stopwatch(), self._inputs.cell
        records = [self._finished.record(seed) for seed in self._inputs.config.benchmark.seeds]
        for record in records:
            self._finished.hand_on_weights(record.seed, cell.models / seed_file(record.seed))
        describe_model(self._inputs, self._best, records)
        return self._metrics(records), stopwatch.lap()

    def _metrics(self, seeds: Sequence[SeedRecord]) -> MetricsRecord:
        """Gather what was measured of all seeds, with the size of the model.

        LogME is of the pretrained features of the training images, none of which an adaptation has touched.
        """
        inputs, trainable_part, train = self._inputs, self._trainable_part, self._data["train"]
        rows = drawn(len(train.labels))
        features = trainable_part.frozen_features(train).take(np.zeros_like(rows), rows)
        boundary = inputs.boundary_record(self._choice.boundary)
        return MetricsRecord(
            cell_key=self._best.cell_key,
            backbone=inputs.cell.backbone,
            strategy=inputs.cell.strategy,
            boundary=boundary.boundary,
            num_parameters=boundary.num_prefix_parameters + trainable_part.num_parameters,
            num_trainable_parameters=trainable_part.num_trainable_parameters,
            logme=logme(features, train.labels[rows], num_classes=len(inputs.dataset.classes)),
            model_bytes=_model_bytes(inputs.cell),
            **over_seeds(seeds),
        )


def _require_finite(fit: Fit, seed: int, cell: Cell) -> None:
    """Refuse a final model that diverged, for unlike a trial it has no other beside it to choose."""
    if fit.reason:
        raise DivergedError(
            f"{cell}: expected finite losses of seed {seed}, found that it {fit.reason}; "
            f"lower the range learning_rate in conf/strategy/{cell.strategy}.yaml"
        )


def _model_bytes(cell: Cell) -> int:
    """Count what one prediction needs of the files of a cell: the frozen part, and one seed's trained part."""
    frozen = [path.stat().st_size for path in cell.models.glob(FROZEN)]
    return sum(frozen) + max(path.stat().st_size for path in cell.models.glob("seed-*.weights.h5"))
