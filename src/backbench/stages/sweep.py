"""The sweep stage: the Optuna study of one cell, on activations; it sees train and val only."""

import shutil
from collections.abc import Callable
from functools import cache

import numpy as np

from backbench.activations import ActivationSource
from backbench.artifacts import Cell
from backbench.config import CellConfig, resolved
from backbench.console import progress_bar
from backbench.records import BestRecord, Choice, TrialRecord, write_best, write_trials
from backbench.runs import cell_labels, cell_parameters
from backbench.search import best_of, open_study, position_in_range, run_search
from backbench.stages.cell import CellInputs, cell_inputs
from backbench.strategies import Adapter
from backbench.tracking import Tracker
from backbench.training import Candidate


def sweep(config: CellConfig) -> str:
    """Write the cell's trials and its choice, and return the line that says where to look next.

    A killed sweep goes on where it stopped; at most the trial in flight is run again.

    Raises:
        BackbenchError: an input is missing, or the configuration is impossible.
    """
    inputs = cell_inputs(config)
    state = inputs.state_folder("sweep")
    study = open_study(state / "study.journal", str(inputs.cell))
    space = {"learning_rate": config.strategy.learning_rate, "weight_decay": config.strategy.weight_decay}
    tracker = Tracker(config.tracking)
    parent = tracker.begin_cell(
        inputs.cell_key, str(inputs.cell), cell_parameters(resolved(config), inputs.digests), cell_labels(inputs.cell)
    )
    with progress_bar(f"sweep {inputs.cell}", config.search.num_trials, "trials") as advance:

        def on_trial(record: TrialRecord) -> None:
            tracker.log_trial(parent, record.index, record.parameters, record.metrics, record.history)
            advance(1)

        trials = run_search(study, space, config.search, _objective(config, inputs), on_trial=on_trial)
    write_trials(inputs.cell, trials)
    best = _best_record(config, inputs, trials)
    write_best(inputs.cell, best)
    shutil.rmtree(state.parent)
    return _last_line(inputs.cell, best)


def _objective(config: CellConfig, inputs: CellInputs) -> Callable[[int, dict[str, float]], TrialRecord]:
    @cache
    def prepared() -> tuple[Adapter, ActivationSource, ActivationSource, list[np.ndarray]]:
        """Build the model when the first trial wants it: a study that is already finished needs none."""
        train, val = inputs.activations("train"), inputs.activations("val")
        adapter = inputs.adapter()
        return adapter, train, val, adapter.initial_values(train, val, seed=config.search.seed)

    def run_trial(position: int, parameters: dict[str, float]) -> TrialRecord:
        adapter, train, val, initial = prepared()
        candidate = Candidate(parameters["learning_rate"], parameters["weight_decay"], config.search.seed)
        fit = adapter.fitter.fit(candidate, initial, train, val)
        return TrialRecord(
            index=position,
            learning_rate=candidate.learning_rate,
            weight_decay=candidate.weight_decay,
            val_loss=fit.best.val_loss,
            val_accuracy=fit.best.val_accuracy,
            epochs=len(fit.history),
            state="COMPLETE",
            history=fit.history,
        )

    return run_trial


def _best_record(config: CellConfig, inputs: CellInputs, trials: list[TrialRecord]) -> BestRecord:
    best = best_of(trials)
    return BestRecord(
        cell_key=inputs.cell_key,
        backbone=inputs.cell.backbone,
        strategy=inputs.cell.strategy,
        num_trials=len(trials),
        choice=Choice(best.index, best.learning_rate, best.weight_decay, best.val_loss, best.val_accuracy),
        learning_rate_at_edge=position_in_range(
            best.learning_rate, config.strategy.learning_rate, num_trials=len(trials)
        ),
        digests=inputs.digests,
        configuration=resolved(config),
    )


def _last_line(cell: Cell, best: BestRecord) -> str:
    choice = best.choice
    edge = best.learning_rate_at_edge
    warning = ""
    if edge != "none":
        warning = f" The learning rate is at the {edge} edge of its range: widen conf/strategy/{cell.strategy}.yaml."
    return (
        f"{cell}: chose learning rate {choice.learning_rate:.2e}, val accuracy {choice.val_accuracy:.3f}, "
        f"of {best.num_trials} trials in {cell.trials}.{warning}"
    )
