"""The train stage: one final model per seed with the frozen choice; the only one that reads test labels."""

import shutil
from collections.abc import Sequence
from functools import cached_property, partial

from backbench.activations import ActivationSource
from backbench.artifacts import replacing
from backbench.backbones.weights import save_weights
from backbench.config import CellConfig
from backbench.console import progress_bar
from backbench.evaluation import evaluate, probabilities_of
from backbench.freezing import OUTPUT
from backbench.model_folder import seed_file
from backbench.predictions import write_predictions
from backbench.records import Choice, SeedRecord, read_best, read_cell, summarise, write_history, write_metrics
from backbench.runs import cell_labels, cell_parameters
from backbench.schedule import Candidate
from backbench.stages.cell import CellInputs, cell_inputs
from backbench.stages.model_files import describe_model
from backbench.stages.seeds import SeedState
from backbench.strategies import Adapter
from backbench.tracking import Tracker


def train(config: CellConfig) -> str:
    """Write final models, predictions and metrics, and return the line that says where to look next.

    Raises:
        BackbenchError: an input is missing, or the configuration is impossible.
    """
    inputs = cell_inputs(config)
    best = read_best(inputs.cell)
    choice = best.choice
    state = SeedState(inputs.state_folder("train", choice.learning_rate, choice.weight_decay))
    tracker = Tracker(config.tracking)
    parent = tracker.begin_cell(
        best.cell_key, str(inputs.cell), cell_parameters(best.configuration, best.digests), cell_labels(inputs.cell)
    )
    final = _FinalModel(inputs, choice)
    with progress_bar(f"train {inputs.cell}", len(config.benchmark.seeds), "seeds") as advance:
        for seeds in final.groups(config.benchmark.seeds):
            if not all(state.is_done(seed) for seed in seeds):
                final.train(seeds, state)
            for record in map(state.record, seeds):
                tracker.log_seed(parent, record.seed, record.metrics, record.history)
                advance(1)
    _write_outputs(inputs, best.cell_key, final, state)
    describe_model(inputs, best, [state.record(seed) for seed in config.benchmark.seeds])
    tracker.publish(read_cell(inputs.cell))
    state.remove()
    return f"{inputs.cell}: test metrics of {len(config.benchmark.seeds)} seeds are in {inputs.cell.metrics}"


class _FinalModel:
    """Trains the frozen choice once per seed; nothing is built until a seed wants it."""

    def __init__(self, inputs: CellInputs, choice: Choice) -> None:
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

    def groups(self, seeds: Sequence[int]) -> list[list[int]]:
        """Split the seeds into those that train at once: heads all together, suffixes each alone.

        A group is trained whole or not at all, for its sums depend on how many train together.
        """
        return [list(seeds)] if self._choice.boundary == OUTPUT else [[seed] for seed in seeds]

    def train(self, seeds: Sequence[int], state: SeedState) -> None:
        train, val, test = (self._data[split] for split in ("train", "val", "test"))
        adapter, choice = self._adapter, self._choice
        initial = [adapter.initial_values(train, val, seed=seed) for seed in seeds]
        candidates = [Candidate(choice.learning_rate, choice.weight_decay, seed) for seed in seeds]
        fits = adapter.fit(candidates, initial, train, val)
        for seed, fit in zip(seeds, fits, strict=True):
            probabilities = probabilities_of(adapter.logits(test, fit.weights))
            metrics = {"val_loss": fit.best.val_loss, "val_accuracy": fit.best.val_accuracy}
            metrics |= evaluate(probabilities, test.labels)
            record = SeedRecord(seed, metrics, len(fit.history), fit.history)
            state.keep(record, probabilities, partial(save_weights, adapter.model))


def _write_outputs(inputs: CellInputs, cell_key: str, final: _FinalModel, state: SeedState) -> None:
    cell, seeds = inputs.cell, inputs.config.benchmark.seeds
    for seed in seeds:
        with replacing(cell.models / seed_file(seed)) as temporary:
            shutil.copyfile(state.weights_file(seed), temporary)
    labels = inputs.dataset.labels["test"]
    write_predictions(cell.predictions, {seed: state.probabilities(seed) for seed in seeds}, labels)
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
    )
    write_metrics(cell.metrics, summary)
