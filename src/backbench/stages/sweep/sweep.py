"""The sweep stage: the Optuna study of one cell, its trials run here or by workers elsewhere."""

from collections.abc import Sequence
from functools import partial
from typing import Any

from backbench.config.config import CellConfig
from backbench.results.cell_inputs import CellInputs
from backbench.results.compute import SWEEP, write_compute
from backbench.results.records import PRUNED, BestRecord, Choice, TrialRecord
from backbench.results.result_files import write_best, write_trials
from backbench.runtime.console import progress_bar
from backbench.runtime.engine.engine import running
from backbench.runtime.engine.workers import THIS_PROCESS, Workers
from backbench.runtime.paths import Cell
from backbench.search.search import best_of, position_in_range
from backbench.stages.sweep.study import study_of
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
    study, title = study_of(inputs), f"sweep {inputs.cell}"
    begun = begun_cell(inputs.cell, inputs.cell_key, inputs.configuration, inputs.digests)
    with BackgroundTracker(config.tracking, begun) as tracker:
        with (
            progress_bar(title, config.search.num_trials, "trials") as advance,
            running(title, workers, partial(opened_trials, config)) as run,
        ):

            def on_trials(records: Sequence[TrialRecord]) -> None:
                for record in records:
                    tracker.add(record)
                    advance(1)

            found = study.search(run, on_trials)
        if found.num_known:
            print(f"{inputs.cell}: {found.num_known} of {len(found.trials)} trials are those of an earlier sweep")
        write_trials(inputs.cell, found.trials)
        best = _best_record(config, inputs, found.trials)
        write_best(inputs.cell, best)
        write_compute(SWEEP, inputs.cell, found.compute)
    return _last_line(inputs.cell, best)


def opened_trials(config: CellConfig) -> Any:
    """Open, in the process that computes, what runs the trials of a cell: `CellTrials`."""
    # Imported here, so that a process which only waits imports no network.
    from backbench.adaptation.training_inputs import TrainingInputs
    from backbench.stages.sweep.cell_trials import CellTrials

    return CellTrials(TrainingInputs.of(config))


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
    choice, warning = best.choice, ""
    if best.learning_rate_at_edge != "none":
        edge = f"The learning rate is at the {best.learning_rate_at_edge} edge of its range"
        warning = f" {edge}: widen conf/strategy/{cell.strategy}.yaml."
    pruned = f" ({best.num_pruned} pruned)" if best.num_pruned else ""
    return (
        f"{cell}: chose learning rate {choice.learning_rate:.2e} at {choice.boundary}, "
        f"val accuracy {choice.val_accuracy:.3f}, of {best.num_trials} trials{pruned} in {cell.trials}.{warning}"
    )
