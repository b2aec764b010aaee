"""The models that a cell ends in: the frozen choice, trained once per seed, predicted and evaluated."""

from collections.abc import Sequence
from functools import cache, lru_cache, partial

import numpy as np

from backbench.adaptation.checkpoints import Checkpoints
from backbench.adaptation.schedule import Fit, Hyperparameters
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
from backbench.stages.train.all_folds import seed_record
from backbench.stages.train.model_files import describe_model
from backbench.stages.train.seeds import PREDICTED_SPLITS, finished_seeds


class FinalModels:
    """Trains the frozen choice, or that of every fold, once per seed; nothing is built until a seed wants it.

    Folds of one boundary share the model. Only the last fold's data is held.
    """

    def __init__(self, inputs: TrainingInputs, best: BestRecord) -> None:
        self._inputs, self._best = inputs, best
        seeds = inputs.config.benchmark.seeds
        self._finished = {
            fold: finished_seeds(inputs, best.choice_of(fold), seeds, fold) for fold in inputs.dataset.each_fold
        }
        self._model_of = cache(inputs.trainable_part)
        self._data_of = lru_cache(maxsize=1)(self._opened)

    def _opened(self, fold: int | None) -> dict[str, ActivationSource]:
        boundary = self._best.choice_of(fold).boundary
        data = {split: self._inputs.activations(split, boundary, fold=fold) for split in ("train", "val", "test")}
        self._model_of(boundary).forget_features()  # of the fold before
        return data

    def train(self, fold: int | None, seeds: Sequence[int]) -> None:
        """Train seeds, those that train at once, and keep what comes of it; return at once where that is there.

        Raises:
            DivergedError: a loss is not finite.
            Interrupted: this process was asked to leave; the epochs that are done lie in checkpoints.
        """
        finished, choice = self._finished[fold], self._best.choice_of(fold)
        if all(map(finished.is_done, seeds)):
            return
        stopwatch = Stopwatch()
        data, trainable_part = self._data_of(fold), self._model_of(choice.boundary)
        train, val = data["train"], data["val"]
        initial = [trainable_part.initial_values(train, val, seed=seed) for seed in seeds]
        candidates = [Hyperparameters(choice.learning_rate, choice.weight_decay, seed) for seed in seeds]
        checkpoints = Checkpoints(finished.checkpoints(seeds[0]))
        try:
            fits = trainable_part.fit(candidates, initial, train, val, checkpoints=checkpoints)
        except Interrupted:
            finished.leave(seeds[0], stopwatch.lap())
            raise
        for seed, fit in zip(seeds, fits, strict=True):
            self._keep(fold, seed, fit, stopwatch)

    def _keep(self, fold: int | None, seed: int, fit: Fit, stopwatch: Stopwatch) -> None:
        _require_finite(fit, seed, self._inputs.cell)
        data, trainable_part = self._data_of(fold), self._model_of(self._best.choice_of(fold).boundary)
        logits = {split: trainable_part.logits(data[split], fit.weights) for split in PREDICTED_SPLITS}
        predicted = {split: probabilities_of(values) for split, values in logits.items()}
        metrics = {"val_loss": fit.best.val_loss, "val_accuracy": fit.best.val_accuracy}
        metrics |= evaluate(
            predicted["test"], data["test"].labels, val_probabilities=predicted["val"], val_labels=data["val"].labels
        )
        record = SeedRecord(seed, metrics, len(fit.history), fit.history)
        self._finished[fold].keep(record, predicted, partial(save_weights, trainable_part.model), stopwatch)

    def describe(self) -> tuple[MetricsRecord, Compute]:
        """Write the folder of the cell's models, of seeds that are all finished; return what was measured of them.

        Of folds, those of the one whose choice stands for the cell are handed on; measured are the models of all.
        """
        stopwatch, inputs, handed_on = Stopwatch(), self._inputs, self._finished[self._best.fold]
        seeds = inputs.config.benchmark.seeds
        for seed in seeds:
            handed_on.hand_on_weights(seed, inputs.cell.models / seed_file(seed))
        describe_model(inputs, self._best, [handed_on.record(seed) for seed in seeds])
        records = [seed_record(inputs.dataset, self._finished, seed) for seed in seeds]
        return self._metrics(records), stopwatch.lap()

    def _metrics(self, seeds: Sequence[SeedRecord]) -> MetricsRecord:
        """Gather what was measured of all seeds, with the size of the model.

        LogME is of the pretrained features of the training images, none of which an adaptation has touched. It and the
        size are of the models that are handed on.
        """
        inputs, boundary = self._inputs, self._inputs.boundary_record(self._best.choice.boundary)
        trainable_part, train = self._model_of(boundary.boundary), self._data_of(self._best.fold)["train"]
        rows = drawn(len(train.labels))
        features = trainable_part.frozen_features(train).take(np.zeros_like(rows), rows)
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
