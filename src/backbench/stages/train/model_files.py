"""What the train stage adds to its weights, so that the folder of a cell's models needs no other file."""

from collections.abc import Sequence
from pathlib import Path

import keras

from backbench.adaptation.training_inputs import TrainingInputs
from backbench.backbones.weights import save_weights
from backbench.results.model_folder import FROZEN, ModelDescription, digests_of, seed_file, write_description
from backbench.results.records import BestRecord, SeedRecord
from backbench.runtime.atomic_files import replacing


def describe_model(inputs: TrainingInputs, best: BestRecord, seeds: Sequence[SeedRecord]) -> None:
    """Write the frozen weights and `model.yaml` beside the weights of every seed.

    The whole backbone is loaded once more for it, at the boundary `output` too, where training needs none.
    """
    folder = inputs.cell.models
    write_frozen_weights(inputs.prefix(best.choice.boundary), folder / FROZEN)
    description = ModelDescription(
        cell=str(inputs.cell),
        classes=list(inputs.dataset.classes),
        boundary=inputs.boundary_record(best.choice.boundary).name,
        seed=exported_seed(seeds),
        sha256=digests_of(folder, [FROZEN, *(seed_file(record.seed) for record in seeds)]),
        configuration=best.configuration,
        fold=best.fold,
    )
    write_description(folder, description)


def exported_seed(seeds: Sequence[SeedRecord]) -> int:
    """Choose the final model that is handed on, by validation alone: the lowest loss, of equal ones the first."""
    return min(seeds, key=lambda record: record.metrics["val_loss"]).seed


def write_frozen_weights(prefix: keras.Model | None, path: Path) -> None:
    """Write the weights below the freeze boundary; where nothing is frozen, leave no file of another boundary."""
    if prefix is None:
        path.unlink(missing_ok=True)
        return
    with replacing(path) as temporary:
        save_weights(prefix, temporary)
