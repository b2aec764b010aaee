"""The train stage: one final model per seed with the frozen choice; the only one that reads test labels."""

from functools import partial
from itertools import chain
from typing import Any

from backbench.config.config import CellConfig
from backbench.evaluation.predictions import Predictions, write_predictions
from backbench.results.cell_inputs import CellInputs
from backbench.results.compute import TRAIN, write_compute
from backbench.results.records import BestRecord
from backbench.results.result_files import read_best, read_cell, write_history, write_metrics
from backbench.runtime import paths
from backbench.runtime.console import progress_bar
from backbench.runtime.engine.engine import running
from backbench.runtime.engine.workers import THIS_PROCESS, Workers
from backbench.runtime.errors import ArtifactError
from backbench.stages.train.all_folds import Finished, probabilities, seed_record
from backbench.stages.train.seeds import PREDICTED_SPLITS, finished_seeds, forget_others, seed_groups
from backbench.tracking.background_tracker import BackgroundTracker
from backbench.tracking.runs import begun_cell, finished_cell


def train(config: CellConfig, workers: Workers = THIS_PROCESS) -> str:
    """Write final models, predictions and metrics, and return the line that says where to look next.

    Raises:
        BackbenchError: an input is missing, the configuration is impossible, or no worker can train a seed.
    """
    inputs, seeds = CellInputs.of(config), config.benchmark.seeds
    best, title = read_best(inputs.cell), f"train {inputs.cell}"
    folds = inputs.dataset.each_fold
    if len(best.folds) != len([fold for fold in folds if fold is not None]):
        raise ArtifactError(
            f"{inputs.cell.best}: expected a choice of every fold of {paths.DATASET}, "
            f"found {len(best.folds) or 'one'}; run `dvc repro sweep@{inputs.cell}`"
        )
    finished = {fold: finished_seeds(inputs, best.choice_of(fold), seeds, fold) for fold in folds}
    groups = [(fold, group) for fold in folds for group in seed_groups(best.choice_of(fold), seeds)]
    begun = begun_cell(inputs.cell, best.cell_key, best.configuration, best.digests)
    with BackgroundTracker(config.tracking, begun) as tracker:
        with (
            progress_bar(title, len(seeds) * len(folds), "seeds") as advance,
            running(title, workers, partial(opened_models, config, best)) as run,
        ):
            done = {(fold, group): all(map(finished[fold].is_done, group)) for fold, group in groups}
            tasks = {_name(*each): ("train", *each) for each in groups if not done[each]}
            named = {_name(*each): each for each in groups}
            ended = chain((each for each in groups if done[each]), (named[name] for name, _ in run(tasks)))
            for fold, group in ended:
                for seed in group:
                    if fold is None:  # else it says nothing before its last fold
                        tracker.add(finished[fold].record(seed))
                    advance(1)
            ((_, (metrics, compute)),) = run({"the models' folder": ("describe",)})
        _write_predictions(inputs, finished)
        write_history(inputs.cell, [seed_record(inputs.dataset, finished, seed) for seed in seeds])
        write_metrics(inputs.cell.metrics, metrics)
        took = (each.compute(seed) for each in finished.values() for seed in seeds)
        write_compute(TRAIN, inputs.cell, sum(took, compute))
        tracker.write(finished_cell(read_cell(inputs.cell)))
    forget_others(finished.values())
    in_folds = "" if folds == (None,) else f" in {len(folds)} folds"
    return f"{inputs.cell}: test metrics of {len(seeds)} seeds{in_folds} are in {inputs.cell.metrics}"


def opened_models(config: CellConfig, best: BestRecord) -> Any:
    """Open, in the process that computes, what trains the final models of a cell: `FinalModels`."""
    # Imported here, so that a process which only waits imports no network.
    from backbench.adaptation.training_inputs import TrainingInputs
    from backbench.stages.train.final_models import FinalModels

    return FinalModels(TrainingInputs.of(config), best)


def _name(fold: int | None, group: tuple[int, ...]) -> str:
    of_fold = "" if fold is None else f"fold {fold}, "
    return f"{of_fold}seed {', '.join(map(str, group))}"


def _write_predictions(inputs: CellInputs, finished: Finished) -> None:
    predictions, dataset = {}, inputs.dataset
    for split in PREDICTED_SPLITS:
        of_seeds = {seed: probabilities(dataset, finished, seed, split) for seed in inputs.config.benchmark.seeds}
        predictions[split] = Predictions.of_seeds(of_seeds, dataset.labels[dataset.array_of(split)])
    write_predictions(inputs.cell.predictions, predictions)
