"""The sweep stage: the Optuna study of one cell, its trials run here or by workers elsewhere."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from itertools import chain
from typing import Any

from backbench.config.config import CellConfig
from backbench.results.cell_inputs import CellInputs
from backbench.results.compute import NOTHING, SWEEP, write_compute
from backbench.results.records import PRUNED, BestRecord, Choice, TrialRecord
from backbench.results.result_files import write_best, write_trials
from backbench.runtime.console import progress_bar
from backbench.runtime.engine.engine import running
from backbench.runtime.engine.workers import THIS_PROCESS, Workers
from backbench.runtime.paths import Cell
from backbench.search.search import best_of, position_in_range
from backbench.stages.sweep.study import forget_others, study_of
from backbench.tracking.background_tracker import BackgroundTracker
from backbench.tracking.runs import begun_cell


def sweep(config: CellConfig, workers: Workers = THIS_PROCESS) -> str:
    """Write the cell's trials and its choice, and return the line that says where to look next.

    A killed sweep goes on where it stopped; at most the epochs in flight are run again. A longer one runs what is new.
    No result depends on who runs the trials.

    Raises:
        BackbenchError: an input is missing, the configuration is impossible, or no worker can run a trial.
    """
    inputs = CellInputs.of(config)
    studies, title = {fold: study_of(inputs, fold) for fold in inputs.dataset.each_fold}, f"sweep {inputs.cell}"
    begun = begun_cell(inputs.cell, inputs.cell_key, inputs.configuration, inputs.digests)
    with BackgroundTracker(config.tracking, begun) as tracker:
        with (
            progress_bar(title, config.search.num_trials * len(studies), "trials") as advance,
            running(title, workers, partial(opened_trials, config)) as run,
        ):

            def on_trials(fold: int | None, records: Sequence[TrialRecord]) -> None:
                for record in records:
                    tracker.add(_of_fold(record, fold, config.search.num_trials))
                    advance(1)

            found = {fold: study.search(run, partial(on_trials, fold)) for fold, study in studies.items()}
        forget_others(studies.values())
        of_folds = [
            [_of_fold(trial, fold, config.search.num_trials) for trial in each.trials] for fold, each in found.items()
        ]
        trials = list(chain.from_iterable(of_folds))
        if num_known := sum(each.num_known for each in found.values()):
            print(f"{inputs.cell}: {num_known} of {len(trials)} trials are those of an earlier sweep")
        write_trials(inputs.cell, trials)
        best = _best_record(config, inputs, trials, [_choice(best_of(each)) for each in of_folds])
        write_best(inputs.cell, best)
        write_compute(SWEEP, inputs.cell, sum((each.compute for each in found.values()), NOTHING))
    return _last_line(inputs.cell, best)


def opened_trials(config: CellConfig) -> Any:
    """Open, in the process that computes, what runs the trials of a cell: `CellTrials`."""
    # Imported here, so that a process which only waits imports no network.
    from backbench.adaptation.training_inputs import TrainingInputs
    from backbench.stages.sweep.cell_trials import CellTrials

    return CellTrials(TrainingInputs.of(config))


def _of_fold(record: TrialRecord, fold: int | None, num_trials: int) -> TrialRecord:
    """Give a trial its number among those of all folds, each of which has as many."""
    return record if fold is None else replace(record, index=fold * num_trials + record.index, fold=fold)


def _choice(best: TrialRecord) -> Choice:
    return Choice(
        trial=best.index,
        boundary=best.boundary,
        learning_rate=best.learning_rate,
        weight_decay=best.weight_decay,
        val_loss=best.val_loss,
        val_accuracy=best.val_accuracy,
    )


def _best_record(
    config: CellConfig, inputs: CellInputs, trials: Sequence[TrialRecord], choices: Sequence[Choice]
) -> BestRecord:
    """Gather the study's choice, or that of every fold, of which the one of the lowest loss stands for the cell."""
    best = min(choices, key=lambda choice: choice.val_loss)
    return BestRecord(
        cell_key=inputs.cell_key,
        backbone=inputs.cell.backbone,
        strategy=inputs.cell.strategy,
        num_trials=len(trials),
        num_pruned=sum(trial.state == PRUNED for trial in trials),
        num_epochs=sum(trial.epochs for trial in trials),
        choice=best,
        learning_rate_at_edge=position_in_range(
            best.learning_rate, config.strategy.learning_rate, num_trials=len(trials) // len(choices)
        ),
        digests=inputs.digests,
        configuration=inputs.configuration,
        folds=tuple(choices) if len(choices) > 1 else (),
    )


def _last_line(cell: Cell, best: BestRecord) -> str:
    choice, warning = best.choice, ""
    if best.learning_rate_at_edge != "none":
        edge = f"The learning rate is at the {best.learning_rate_at_edge} edge of its range"
        warning = f" {edge}: widen conf/strategy/{cell.strategy}.yaml."
    of_folds = f" in {len(best.folds)} folds, the best of them at" if best.folds else ""
    pruned = f" ({best.num_pruned} pruned)" if best.num_pruned else ""
    return (
        f"{cell}: chose{of_folds} learning rate {choice.learning_rate:.2e} at {choice.boundary}, "
        f"val accuracy {choice.val_accuracy:.3f}, of {best.num_trials} trials{pruned} in {cell.trials}.{warning}"
    )
