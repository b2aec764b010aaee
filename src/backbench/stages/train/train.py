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
from backbench.runtime.console import progress_bar
from backbench.runtime.engine.engine import running
from backbench.runtime.engine.workers import THIS_PROCESS, Workers
from backbench.stages.train.seeds import PREDICTED_SPLITS, FinishedSeeds, finished_seeds, seed_groups
from backbench.tracking.background_tracker import BackgroundTracker
from backbench.tracking.runs import begun_cell, finished_cell


def train(config: CellConfig, workers: Workers = THIS_PROCESS) -> str:
    """Write final models, predictions and metrics, and return the line that says where to look next.

    Raises:
        BackbenchError: an input is missing, the configuration is impossible, or no worker can train a seed.
    """
    inputs, seeds = CellInputs.of(config), config.benchmark.seeds
    best, title = read_best(inputs.cell), f"train {inputs.cell}"
    groups, finished = seed_groups(best.choice, seeds), finished_seeds(inputs, best.choice, seeds)
    begun = begun_cell(inputs.cell, best.cell_key, best.configuration, best.digests)
    with BackgroundTracker(config.tracking, begun) as tracker:
        with (
            progress_bar(title, len(seeds), "seeds") as advance,
            running(title, workers, partial(opened_models, config, best)) as run,
        ):
            done = {group: all(map(finished.is_done, group)) for group in groups}
            tasks = {_name(group): ("train", group) for group in groups if not done[group]}
            named = {_name(group): group for group in groups}
            ended = chain((group for group in groups if done[group]), (named[name] for name, _ in run(tasks)))
            for group in ended:
                for record in map(finished.record, group):
                    tracker.add(record)
                    advance(1)
            ((_, (metrics, compute)),) = run({"the models' folder": ("describe",)})
        _write_predictions(inputs, finished)
        write_history(inputs.cell, [finished.record(seed) for seed in seeds])
        write_metrics(inputs.cell.metrics, metrics)
        write_compute(TRAIN, inputs.cell, sum(map(finished.compute, seeds), compute))
        tracker.write(finished_cell(read_cell(inputs.cell)))
    finished.forget_others()
    return f"{inputs.cell}: test metrics of {len(seeds)} seeds are in {inputs.cell.metrics}"


def opened_models(config: CellConfig, best: BestRecord) -> Any:
    """Open, in the process that computes, what trains the final models of a cell: `FinalModels`."""
    # Imported here, so that a process which only waits imports no network.
    from backbench.adaptation.training_inputs import TrainingInputs
    from backbench.stages.train.final_models import FinalModels

    return FinalModels(TrainingInputs.of(config), best)


def _name(group: tuple[int, ...]) -> str:
    return f"seed {', '.join(map(str, group))}"


def _write_predictions(inputs: CellInputs, finished: FinishedSeeds) -> None:
    predictions = {}
    for split in PREDICTED_SPLITS:
        of_seeds = {seed: finished.probabilities(seed, split) for seed in inputs.config.benchmark.seeds}
        predictions[split] = Predictions.of_seeds(of_seeds, inputs.dataset.labels[split])
    write_predictions(inputs.cell.predictions, predictions)
