"""The sweep stage: the Optuna study of one cell, on activations; it sees train and val only."""

import shutil
from collections.abc import Sequence
from functools import cache

from backbench.activations import ActivationSource
from backbench.artifacts import Cell
from backbench.config import OUTPUT, CellConfig
from backbench.console import progress_bar
from backbench.records import COMPLETE, PRUNED, BestRecord, Choice, TrialRecord, write_best, write_trials
from backbench.runs import cell_labels, cell_parameters
from backbench.schedule import Candidate, Fit, Weights
from backbench.search import Proposal, ShouldStop, Space, best_of, open_study, position_in_range, run_search
from backbench.stages.cell import CellInputs, cell_inputs
from backbench.strategies import Adapter
from backbench.tracking import Tracker


def sweep(config: CellConfig) -> str:
    """Write the cell's trials and its choice, and return the line that says where to look next.

    A killed sweep goes on where it stopped; at most the trial in flight is run again.

    Raises:
        BackbenchError: an input is missing, or the configuration is impossible.
    """
    inputs = cell_inputs(config)
    state = inputs.state_folder("sweep")
    study = open_study(state / "study.journal", str(inputs.cell))
    batch_size = config.search.trials_per_batch if inputs.boundaries == (OUTPUT,) else 1
    tracker = Tracker(config.tracking)
    parent = tracker.begin_cell(
        inputs.cell_key,
        str(inputs.cell),
        cell_parameters(inputs.configuration, inputs.digests),
        cell_labels(inputs.cell),
    )
    with progress_bar(f"sweep {inputs.cell}", config.search.num_trials, "trials") as advance:

        def on_trial(record: TrialRecord) -> None:
            tracker.log_trial(parent, record.index, record.parameters, record.metrics, record.history)
            advance(1)

        cell = CellStudy(inputs)
        trials = run_search(study, cell.space, config.search, cell.run, batch_size=batch_size, on_trial=on_trial)
    write_trials(inputs.cell, trials)
    best = _best_record(config, inputs, trials)
    write_best(inputs.cell, best)
    shutil.rmtree(state.parent)
    return _last_line(inputs.cell, best)


class CellStudy:
    """Runs the trials of one cell; a boundary's model and data are made when its first trial comes."""

    def __init__(self, inputs: CellInputs) -> None:
        self._inputs = inputs
        self._seed = inputs.config.search.seed
        self._of_boundary = cache(self._opened)

    @property
    def space(self) -> Space:
        strategy = self._inputs.config.strategy
        ranges = {"learning_rate": strategy.learning_rate, "weight_decay": strategy.weight_decay}
        return Space(ranges, self._inputs.boundaries)

    def _opened(self, boundary: str) -> tuple[Adapter, ActivationSource, ActivationSource, Weights]:
        train, val = (self._inputs.activations(split, boundary) for split in ("train", "val"))
        adapter = self._inputs.adapter(boundary)
        return adapter, train, val, adapter.initial_values(train, val, seed=self._seed)

    def run(self, proposals: Sequence[Proposal], should_stop: ShouldStop) -> list[TrialRecord]:
        """Fit a batch of proposals, those of one boundary together, and return their trials in the same order."""
        fits: dict[int, Fit] = {}
        for boundary in dict.fromkeys(proposal.boundary for proposal in proposals):
            places = [place for place, proposal in enumerate(proposals) if proposal.boundary == boundary]
            adapter, train, val, initial = self._of_boundary(boundary)
            candidates = [
                Candidate(**proposals[place].parameters, seed=self._inputs.config.search.seed) for place in places
            ]
            found = adapter.fit(
                candidates,
                [initial] * len(candidates),
                train,
                val,
                should_stop=lambda at, history, places=places: should_stop(places[at], history),  # type: ignore[misc]
            )
            fits |= zip(places, found, strict=True)
        return [_trial(proposal, fits[place]) for place, proposal in enumerate(proposals)]


def _trial(proposal: Proposal, fit: Fit) -> TrialRecord:
    return TrialRecord(
        index=proposal.position,
        boundary=proposal.boundary,
        **proposal.parameters,
        val_loss=fit.best.val_loss,
        val_accuracy=fit.best.val_accuracy,
        epochs=len(fit.history),
        state=PRUNED if fit.pruned else COMPLETE,
        history=fit.history,
        reason=fit.reason,
        accumulation_steps=fit.accumulation_steps,
    )


def _best_record(config: CellConfig, inputs: CellInputs, trials: list[TrialRecord]) -> BestRecord:
    best = best_of(trials)
    return BestRecord(
        cell_key=inputs.cell_key,
        backbone=inputs.cell.backbone,
        strategy=inputs.cell.strategy,
        num_trials=len(trials),
        num_pruned=sum(trial.state == PRUNED for trial in trials),
        num_epochs=sum(trial.epochs for trial in trials),
        choice=Choice(
            trial=best.index,
            boundary=best.boundary,
            learning_rate=best.learning_rate,
            weight_decay=best.weight_decay,
            val_loss=best.val_loss,
            val_accuracy=best.val_accuracy,
        ),
        learning_rate_at_edge=position_in_range(
            best.learning_rate, config.strategy.learning_rate, num_trials=len(trials)
        ),
        digests=inputs.digests,
        configuration=inputs.configuration,
    )


def _last_line(cell: Cell, best: BestRecord) -> str:
    choice = best.choice
    edge = best.learning_rate_at_edge
    warning = ""
    if edge != "none":
        warning = f" The learning rate is at the {edge} edge of its range: widen conf/strategy/{cell.strategy}.yaml."
    pruned = f" ({best.num_pruned} pruned)" if best.num_pruned else ""
    return (
        f"{cell}: chose learning rate {choice.learning_rate:.2e} at {choice.boundary}, "
        f"val accuracy {choice.val_accuracy:.3f}, of {best.num_trials} trials{pruned} in {cell.trials}.{warning}"
    )
