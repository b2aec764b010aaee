"""The train stage: one final model per seed with the frozen choice; the only one that reads test labels."""

from collections.abc import Sequence
from functools import cached_property, partial

import numpy as np

from backbench import artifacts
from backbench.activations import ActivationSource
from backbench.artifacts import Cell
from backbench.backbones.weights import save_weights
from backbench.config import OUTPUT, CellConfig
from backbench.console import progress_bar
from backbench.errors import DivergedError
from backbench.evaluation import evaluate, probabilities_of
from backbench.logbook import Logbook
from backbench.model_folder import FROZEN, seed_file
from backbench.predictions import Predictions, write_predictions
from backbench.records import (
    BestRecord,
    Choice,
    SeedRecord,
    read_best,
    read_cell,
    summarise,
    write_history,
    write_metrics,
)
from backbench.runs import cell_labels, cell_parameters
from backbench.schedule import Candidate, Fit
from backbench.stages.model_files import describe_model
from backbench.stages.seeds import FinishedSeeds
from backbench.stages.training_inputs import TrainingInputs, training_inputs
from backbench.strategies import Adapter
from backbench.transferability import log_evidence

PREDICTED_SPLITS = ("val", "test")


def train(config: CellConfig) -> str:
    """Write final models, predictions and metrics, and return the line that says where to look next.

    Raises:
        BackbenchError: an input is missing, or the configuration is impossible.
    """
    inputs = training_inputs(config)
    best = read_best(inputs.cell)
    choice = best.choice
    final = _FinalModel(inputs, choice)
    state = FinishedSeeds(artifacts.STATE / "train" / str(inputs.cell), final.names(config.benchmark.seeds))
    with Logbook(config.tracking) as logbook:
        parent = logbook.begin_cell(
            best.cell_key, str(inputs.cell), cell_parameters(best.configuration, best.digests), cell_labels(inputs.cell)
        )
        with progress_bar(f"train {inputs.cell}", len(config.benchmark.seeds), "seeds") as advance:
            for seeds in final.groups(config.benchmark.seeds):
                if not all(state.is_done(seed) for seed in seeds):
                    final.train(seeds, state)
                for record in map(state.record, seeds):
                    logbook.log_seed(parent, record.seed, record.metrics, record.history)
                    advance(1)
        _write_models(inputs, best, state)
        _write_results(inputs, best.cell_key, final, state)
        logbook.publish(read_cell(inputs.cell))
    state.forget_others()
    return f"{inputs.cell}: test metrics of {len(config.benchmark.seeds)} seeds are in {inputs.cell.metrics}"


class _FinalModel:
    """Trains the frozen choice once per seed; nothing is built until a seed wants it."""

    def __init__(self, inputs: TrainingInputs, choice: Choice) -> None:
        self._inputs = inputs
        self._choice = choice

    @cached_property
    def _data(self) -> dict[str, ActivationSource]:
        return {split: self._inputs.activations(split, self._choice.boundary) for split in ("train", "val", "test")}

    @cached_property
    def _adapter(self) -> Adapter:
        return self._inputs.adapter(self._choice.boundary)

    @property
    def boundary(self) -> str:
        return self._choice.boundary

    @property
    def num_trainable_parameters(self) -> int:
        return self._adapter.num_trainable_parameters

    @property
    def num_parameters(self) -> int:
        return self._inputs.boundary_record(self._choice.boundary).num_prefix_parameters + self._adapter.num_parameters

    @property
    def log_evidence(self) -> float:
        """LogME of the pretrained features of the training images, none of which an adaptation has touched."""
        train = self._data["train"]
        own_view = np.zeros(train.num_examples, dtype=np.int64)
        features = self._adapter.frozen_features(train).take(own_view, np.arange(train.num_examples))
        return log_evidence(features, train.labels, num_classes=len(self._inputs.dataset.classes))

    def groups(self, seeds: Sequence[int]) -> list[list[int]]:
        """Split the seeds into those that train at once: heads all together, suffixes each alone.

        A group is trained whole or not at all, for its sums depend on how many train together.
        """
        return [list(seeds)] if self._choice.boundary == OUTPUT else [[seed] for seed in seeds]

    def names(self, seeds: Sequence[int]) -> dict[int, str]:
        """Name every seed's model by all that decides it: the fit, and who trains with it."""
        choice, fits = self._choice, self._inputs.fits_name("train")
        return {
            seed: artifacts.fingerprint(fits, choice.boundary, choice.learning_rate, choice.weight_decay, group)
            for group in self.groups(seeds)
            for seed in group
        }

    def train(self, seeds: Sequence[int], state: FinishedSeeds) -> None:
        train, val = self._data["train"], self._data["val"]
        adapter, choice = self._adapter, self._choice
        initial = [adapter.initial_values(train, val, seed=seed) for seed in seeds]
        candidates = [Candidate(choice.learning_rate, choice.weight_decay, seed) for seed in seeds]
        fits = adapter.fit(candidates, initial, train, val)
        for seed, fit in zip(seeds, fits, strict=True):
            _require_finite(fit, seed, self._inputs.cell)
            predicted = {
                split: probabilities_of(adapter.logits(self._data[split], fit.weights)) for split in PREDICTED_SPLITS
            }
            metrics = {"val_loss": fit.best.val_loss, "val_accuracy": fit.best.val_accuracy}
            metrics |= evaluate(
                predicted["test"],
                self._data["test"].labels,
                val_probabilities=predicted["val"],
                val_labels=val.labels,
            )
            record = SeedRecord(seed, metrics, len(fit.history), fit.history)
            state.keep(record, predicted, partial(save_weights, adapter.model))


def _require_finite(fit: Fit, seed: int, cell: Cell) -> None:
    """Refuse a final model that diverged, for unlike a trial it has no other beside it to choose."""
    if fit.reason:
        raise DivergedError(
            f"{cell}: expected finite losses of seed {seed}, found that it {fit.reason}; "
            f"lower the range learning_rate in conf/strategy/{cell.strategy}.yaml"
        )


def _write_models(inputs: TrainingInputs, best: BestRecord, state: FinishedSeeds) -> None:
    seeds = inputs.config.benchmark.seeds
    for seed in seeds:
        state.hand_on_weights(seed, inputs.cell.models / seed_file(seed))
    describe_model(inputs, best, [state.record(seed) for seed in seeds])


def _write_results(inputs: TrainingInputs, cell_key: str, final: _FinalModel, state: FinishedSeeds) -> None:
    cell, seeds = inputs.cell, inputs.config.benchmark.seeds
    predictions = {
        split: Predictions.of_seeds(
            {seed: state.probabilities(seed, split) for seed in seeds}, inputs.dataset.labels[split]
        )
        for split in PREDICTED_SPLITS
    }
    write_predictions(cell.predictions, predictions)
    records = [state.record(seed) for seed in seeds]
    write_history(cell, records)
    summary = summarise(
        records,
        cell_key=cell_key,
        backbone=cell.backbone,
        strategy=cell.strategy,
        boundary=final.boundary,
        num_parameters=final.num_parameters,
        num_trainable_parameters=final.num_trainable_parameters,
        log_evidence=final.log_evidence,
        model_bytes=_model_bytes(cell),
    )
    write_metrics(cell.metrics, summary)


def _model_bytes(cell: Cell) -> int:
    """Count what one prediction needs of the files of a cell: the frozen part, and one seed's trained part."""
    frozen = [path.stat().st_size for path in cell.models.glob(FROZEN)]
    return sum(frozen) + max(path.stat().st_size for path in cell.models.glob("seed-*.weights.h5"))
