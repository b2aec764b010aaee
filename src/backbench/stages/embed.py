"""The embed stage: activations of every image at the cell's freeze boundary, once per image and view."""

import shutil
from functools import partial
from pathlib import Path

import keras
import numpy as np

from backbench import artifacts
from backbench.activations import activation_file, run_prefix
from backbench.artifacts import Cell
from backbench.backbones.graph import preprocess
from backbench.backbones.weights import load_backbone, weights_digest
from backbench.config import CellConfig
from backbench.console import progress_bar
from backbench.data.augment import augmented, resized
from backbench.data.dataset import SPLITS, Dataset, open_dataset
from backbench.determinism import make_deterministic
from backbench.freezing import cut_for

BATCH_SIZE = 128


def embed(config: CellConfig) -> str:
    """Write `work/activations/<backbone>/<strategy>/` and return the line that says where to look next.

    Images of all splits pass, the test images too; no label is read.

    Raises:
        BackbenchError: the data set, the weights or the boundary cannot be used.
    """
    cell = Cell(config.backbone.name, config.strategy.name)
    dataset = open_dataset(artifacts.DATASET)
    make_deterministic(config.weights.seed)
    backbone = load_backbone(config.backbone, config.weights)
    digest = weights_digest(backbone)
    cut_model = cut_for(backbone, config.backbone, config.strategy)
    folder = cell.activations.with_name(f".{cell.activations.name}.tmp")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    _write_splits(config, dataset, cut_model.prefix, folder)
    description = {
        "boundary": cut_model.boundary,
        "views": config.strategy.views,
        "weights_digest": digest,
        "data_digest": dataset.digest,
        "num_prefix_parameters": _num_parameters(cut_model.prefix),
        "num_suffix_parameters": _num_parameters(cut_model.suffix),
    }
    artifacts.write_json(folder / "boundary.json", description)
    shutil.rmtree(cell.activations, ignore_errors=True)
    folder.rename(cell.activations)
    return f"{cell}: activations at {cut_model.boundary} are in {cell.activations}; next: dvc repro sweep@{cell}"


def _num_parameters(model: keras.Model | None) -> int:
    return 0 if model is None else int(model.count_params())


def _prepared(config: CellConfig, view: int, images: np.ndarray, position: int) -> np.ndarray:
    """Make one view of a batch and scale it for the backbone; view 0 is the image itself."""
    if view:
        seed = int(np.random.SeedSequence([config.dataset.split_seed, view]).generate_state(1)[0])
        images = augmented(images, config.dataset.augmentation, seed=seed, first_index=position)
    scaled = preprocess(config.backbone, resized(images, config.backbone.input_size_pixels))
    return np.asarray(scaled, dtype="float32")


def _write_splits(config: CellConfig, dataset: Dataset, prefix: keras.Model | None, folder: Path) -> None:
    size = config.backbone.input_size_pixels
    shape = (size, size, 3) if prefix is None else tuple(prefix.output_shape[1:])
    views = {split: config.strategy.views if split == "train" else 1 for split in SPLITS}
    total = sum(views[split] * len(dataset.images[split]) for split in SPLITS)
    with progress_bar(f"embed {config.backbone.name}-{config.strategy.name}", total, "images") as advance:
        for split in SPLITS:
            images = dataset.images[split]
            full_shape = (views[split], len(images), *shape)
            with activation_file(folder / f"{split}.npy", full_shape, config.strategy.activation_dtype) as values:
                for view in range(views[split]):
                    prepare = partial(_prepared, config, view)
                    run_prefix(prefix, images, prepare, values[view], batch_size=BATCH_SIZE, progress=advance)
