"""The train stage: one final model per seed with the frozen choice; the only one that reads test labels."""

from backbench.adaptation.training_inputs import TrainingInputs
from backbench.config.config import CellConfig
from backbench.evaluation.predictions import Predictions, write_predictions
from backbench.results.compute import TRAIN, Stopwatch, write_compute
from backbench.results.model_folder import FROZEN, seed_file
from backbench.results.records import BestRecord
from backbench.results.result_files import read_best, read_cell, write_history, write_metrics
from backbench.runtime import paths
from backbench.runtime.console import progress_bar
from backbench.runtime.paths import Cell
from backbench.stages.train.final_model import PREDICTED_SPLITS, FinalModel
from backbench.stages.train.model_files import describe_model
from backbench.stages.train.seeds import FinishedSeeds
from backbench.tracking.background_tracker import BackgroundTracker
from backbench.tracking.runs import begun_cell, finished_cell


def train(config: CellConfig) -> str:
    """Write final models, predictions and metrics, and return the line that says where to look next.

    Raises:
        BackbenchError: an input is missing, or the configuration is impossible.
    """
    inputs = TrainingInputs.of(config)
    best = read_best(inputs.cell)
    final = FinalModel(inputs, best.choice)
    state = FinishedSeeds(paths.STATE / "train" / str(inputs.cell), final.names(config.benchmark.seeds))
    begun = begun_cell(inputs.cell, best.cell_key, best.configuration, best.digests)
    with BackgroundTracker(config.tracking, begun) as tracker:
        with progress_bar(f"train {inputs.cell}", len(config.benchmark.seeds), "seeds") as advance:
            for seeds in final.groups(config.benchmark.seeds):
                if not all(state.is_done(seed) for seed in seeds):
                    final.train(seeds, state)
                for record in map(state.record, seeds):
                    tracker.add(record)
                    advance(1)
        stopwatch = Stopwatch()
        _write_models(inputs, best, state)
        _write_results(inputs, best.cell_key, final, state)
        seeds_took = map(state.compute, config.benchmark.seeds)
        write_compute(TRAIN, inputs.cell, sum(seeds_took, stopwatch.lap()))
        tracker.write(finished_cell(read_cell(inputs.cell)))
    state.forget_others()
    return f"{inputs.cell}: test metrics of {len(config.benchmark.seeds)} seeds are in {inputs.cell.metrics}"


def _write_models(inputs: TrainingInputs, best: BestRecord, state: FinishedSeeds) -> None:
    seeds = inputs.config.benchmark.seeds
    for seed in seeds:
        state.hand_on_weights(seed, inputs.cell.models / seed_file(seed))
    describe_model(inputs, best, [state.record(seed) for seed in seeds])


def _write_results(inputs: TrainingInputs, cell_key: str, final: FinalModel, state: FinishedSeeds) -> None:
    cell, seeds = inputs.cell, inputs.config.benchmark.seeds
    predictions = {}
    for split in PREDICTED_SPLITS:
        of_seeds = {seed: state.probabilities(seed, split) for seed in seeds}
        predictions[split] = Predictions.of_seeds(of_seeds, inputs.dataset.labels[split])
    write_predictions(cell.predictions, predictions)
    records = [state.record(seed) for seed in seeds]
    write_history(cell, records)
    write_metrics(cell.metrics, final.metrics(records, cell_key=cell_key, model_bytes=_model_bytes(cell)))


def _model_bytes(cell: Cell) -> int:
    """Count what one prediction needs of the files of a cell: the frozen part, and one seed's trained part."""
    frozen = [path.stat().st_size for path in cell.models.glob(FROZEN)]
    return sum(frozen) + max(path.stat().st_size for path in cell.models.glob("seed-*.weights.h5"))
