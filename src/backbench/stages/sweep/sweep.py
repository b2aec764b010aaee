"""The sweep stage: the Optuna study of one cell, its trials run here or by workers elsewhere."""

from collections.abc import Sequence

from backbench.config.config import CellConfig
from backbench.config.running_config import WorkersConfig
from backbench.results.cell_inputs import CellInputs
from backbench.results.compute import SWEEP, write_compute
from backbench.results.records import PRUNED, BestRecord, Choice, TrialRecord
from backbench.results.result_files import write_best, write_trials
from backbench.runtime.console import progress_bar
from backbench.runtime.paths import Cell
from backbench.search.search import best_of, position_in_range
from backbench.stages.sweep.cell_study import CellStudy
from backbench.stages.sweep.worker_pool import worker_pool
from backbench.tracking.background_tracker import BackgroundTracker
from backbench.tracking.runs import begun_cell

ALONE = WorkersConfig(name="one")


def sweep(config: CellConfig, workers: WorkersConfig = ALONE, overrides: Sequence[str] = ()) -> str:
    """Write the cell's trials and its choice, and return the line that says where to look next.

    A killed sweep goes on where it stopped; at most the batches in flight are run again. A longer one runs what is new.

    No result depends on who runs the trials. `overrides` are Hydra's, of this process, from which workers that it
    starts compose the same.

    Raises:
        BackbenchError: an input is missing, the configuration is impossible, or no worker can run a trial.
    """
    inputs = CellInputs.of(config)
    cell = CellStudy(inputs, workers)
    study = cell.open(creating=True)
    coordination, finished = cell.coordination(study), cell.finished_trials(study)
    begun = begun_cell(inputs.cell, inputs.cell_key, inputs.configuration, inputs.digests)
    with BackgroundTracker(config.tracking, begun) as tracker:
        with (
            progress_bar(f"sweep {inputs.cell}", config.search.num_trials, "trials") as advance,
            worker_pool(inputs.cell, workers, overrides, lambda is_asked: cell.worker(study, is_asked)) as wait,
            coordination.stopping_workers_on_failure(),
        ):

            def on_trial(record: TrialRecord) -> None:
                tracker.add(record)
                finished.keep(record)
                advance(1)

            trials = coordination.run(
                config.search,
                prunes=cell.prunes,
                batch_size=cell.batch_size,
                on_trial=on_trial,
                wait=wait,
                known=finished.known,
            )
        if finished.num_taken_up:
            print(f"{inputs.cell}: {finished.num_taken_up} of {len(trials)} trials are those of an earlier sweep")
        write_trials(inputs.cell, trials)
        best = _best_record(config, inputs, trials)
        write_best(inputs.cell, best)
        write_compute(SWEEP, inputs.cell, finished.compute)
        cell.remove(study)
        finished.forget_others()
    return _last_line(inputs.cell, best)


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
