"""The embed stage: activations of every image at the cell's freeze boundaries, once per image and view."""

import shutil
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import keras
import numpy as np

from backbench.backbones.determinism import computing_in, make_deterministic
from backbench.backbones.weight_files import file_sha256_of
from backbench.backbones.weights import load_backbone, weights_digest
from backbench.config.config import CellConfig
from backbench.config.strategy_config import INPUT, ON_THE_FLY
from backbench.data.arrays.dataset import SPLITS, Dataset, open_dataset
from backbench.data.arrays.sizes import enlarged
from backbench.features.activation_store import (
    GIGABYTE,
    StorePlan,
    StoreWriter,
    disk_room_bytes,
    prepared_images,
    state_for,
)
from backbench.features.activations import padded_indices, predicted
from backbench.features.freezing import cut, resolve_boundary, tapped_prefix
from backbench.results.cell_inputs import code_of
from backbench.results.compute import EMBED, Stopwatch, write_compute
from backbench.results.store_record import BoundaryRecord, StoreRecord
from backbench.runtime import paths
from backbench.runtime.console import progress_bar
from backbench.runtime.installation import backend, deciding_versions
from backbench.runtime.paths import Cell
from backbench.runtime.units import size

# The largest one is taken that computes at most this share of rows only to fill the last batches.
BATCH_SIZES = (128, 64, 32)
MOST_FILLING = 0.05


def embed(config: CellConfig) -> str:
    """Write `work/activations/<backbone>/<strategy>/` and return the line that says where to look next.

    Images of all splits pass, the test images too; no label is read. A killed embed goes on where it stopped. What is
    over the limit, or has no room on the disk, is not stored: the later stages compute it.

    Raises:
        BackbenchError: the data set, the weights or a boundary cannot be used, or a value does not fit its type.
    """
    stopwatch, cell = Stopwatch(), config.cell
    state = paths.STATE / "embed" / str(cell)
    dataset = open_dataset(paths.DATASET)
    benchmark = config.benchmark
    make_deterministic(config.weights.seed, num_threads=benchmark.threads, memory_growth=benchmark.memory_growth)
    with computing_in(config.benchmark.precision):
        backbone = load_backbone(config.backbone, config.weights)
    digest = weights_digest(backbone)
    layers = {name: resolve_boundary(backbone, config.backbone, name) for name in config.strategy.boundaries}
    wanted = _plan(config, dataset, backbone, tuple(dict.fromkeys(layers.values())))
    plan = wanted.within(min(config.strategy.activation_limit_gigabytes * GIGABYTE, disk_room_bytes(state)))
    lines = [_size_line(cell, dataset, wanted), *_fallback_lines(cell, wanted, plan), *_enlarged_lines(config, dataset)]
    print(*lines, sep="\n", flush=True)
    writer = StoreWriter(state_for(state, *_key(config, dataset, digest, plan)), plan)
    _write_splits(config, backbone, plan, writer)
    records = tuple(_record(backbone, name, layer, plan, writer) for name, layer in layers.items())
    weights_file = file_sha256_of(config.backbone, config.weights)
    store = StoreRecord(config.strategy.views, digest, weights_file, dataset.digest, writer.digests(), records)
    writer.finish(store, cell.activations)
    write_compute(EMBED, cell, writer.compute_before + stopwatch.lap())
    shutil.rmtree(state)
    where = f"are in {cell.activations}" if plan.shapes else "will be computed by the next stages"
    return f"{cell}: activations at {', '.join(wanted.shapes)} {where}; next: dvc repro sweep@{cell}"


def _key(config: CellConfig, dataset: Dataset, weights: str, plan: StorePlan) -> tuple[Any, ...]:
    """List all that decides the content of a store."""
    benchmark = config.benchmark
    seen = (dict(dataset.sha256), asdict(config.dataset.augmentation), config.dataset.split_seed)
    computed = (asdict(config.backbone), weights, benchmark.precision, benchmark.threads, batch_size_for(plan))
    return *seen, *computed, asdict(plan), code_of(Path(__file__), config.backbone), backend(), deciding_versions()


def _plan(config: CellConfig, dataset: Dataset, backbone: keras.Model, boundaries: tuple[str, ...]) -> StorePlan:
    prefixes = {boundary: cut(backbone, boundary).prefix for boundary in boundaries}
    shapes = {
        boundary: tuple(backbone.input_shape[1:] if prefix is None else prefix.output_shape[1:])
        for boundary, prefix in prefixes.items()
    }
    num_views = {split: config.strategy.views if split == "train" else 1 for split in SPLITS}
    rows = {split: (views, len(dataset.images[split])) for split, views in num_views.items() if views != ON_THE_FLY}
    return StorePlan(shapes, rows, config.strategy.activation_dtype)


def _size_line(cell: Cell, dataset: Dataset, plan: StorePlan) -> str:
    num_images = sum(len(images) for images in dataset.images.values())
    stored = f"{plan.num_rows:,} with views"
    if "train" not in plan.rows:
        stored = f"{plan.num_rows:,} of them stored, a new view of each training image when it is seen"
    planned = f"{size(plan.num_bytes(*plan.shapes))} of {plan.dtype}"
    return f"embed {cell}: {num_images:,} images, {stored} → {planned} at {', '.join(plan.shapes)}"


def _fallback_lines(cell: Cell, wanted: StorePlan, plan: StorePlan) -> list[str]:
    dropped = [boundary for boundary in wanted.shapes if boundary not in plan.shapes]
    if not dropped:
        return []
    saved = size(wanted.num_bytes(*dropped))
    where = f"activation_limit_gigabytes in conf/strategy/{cell.strategy}.yaml"
    return [
        f"embed {cell}: {saved} at {', '.join(dropped)} is over {where}, or would leave less than 1 GB on the disk "
        "(DVC keeps a copy); computed on the fly instead, at every step"
    ]


def _enlarged_lines(config: CellConfig, dataset: Dataset) -> list[str]:
    found = enlarged(dataset.sides, dataset.image_size_pixels, config.backbone.input_size_pixels)
    return [f"embed {config.cell}: {found}"] if found.num_enlarged else []


def _record(backbone: keras.Model, name: str, layer: str, plan: StorePlan, writer: StoreWriter) -> BoundaryRecord:
    halves = cut(backbone, layer)
    is_stored = layer in plan.shapes
    return BoundaryRecord(
        name=name,
        boundary=layer,
        num_prefix_parameters=_num_parameters(halves.prefix),
        num_suffix_parameters=_num_parameters(halves.suffix),
        stored={split: is_stored and split in plan.rows for split in SPLITS},
        float16_error=writer.float16_error(layer) if is_stored else 0.0,
    )


def _num_parameters(model: keras.Model | None) -> int:
    return 0 if model is None else int(model.count_params())


def _write_splits(config: CellConfig, backbone: keras.Model, plan: StorePlan, writer: StoreWriter) -> None:
    """Run every image and view through the backbone once, up to the highest boundary that is stored."""
    if not plan.shapes:
        return
    computed = [boundary for boundary in plan.shapes if boundary != INPUT]
    prefix = tapped_prefix(backbone, computed) if computed else None
    done = sum(writer.num_rows(split) for split in plan.rows)
    with progress_bar(f"embed {config.cell}", plan.num_rows, "images", done=done) as advance:
        for split in plan.rows:
            images = prepared_images(config, split)
            for view, num_real, examples in _missing_batches(split, plan, writer):
                values = {INPUT: images.take(np.full(len(examples), view), examples)}
                if prefix is not None:
                    # Keras unwraps a list of one output.
                    outputs = keras.tree.flatten(predicted(prefix, values[INPUT]))
                    values |= dict(zip(computed, outputs, strict=True))
                writer.append(split, {boundary: values[boundary][:num_real] for boundary in plan.shapes})
                advance(num_real)


def batch_size_for(plan: StorePlan) -> int:
    """Return how many images pass at once; every batch of a plan is as large, so that one program is traced."""
    for batch_size in BATCH_SIZES[:-1]:
        num_filling = sum(num_views * (-num_examples % batch_size) for num_views, num_examples in plan.rows.values())
        if num_filling <= MOST_FILLING * plan.num_rows:
            return batch_size
    return BATCH_SIZES[-1]


def _missing_batches(split: str, plan: StorePlan, writer: StoreWriter) -> Iterator[tuple[int, int, np.ndarray]]:
    """Yield `(view, num_real, examples)`: the batches that an earlier process did not write, each of one view."""
    num_views, num_examples = plan.rows[split]
    done = writer.num_rows(split)
    for view in range(num_views):
        first = min(max(0, done - view * num_examples), num_examples)
        for num_real, examples in padded_indices(first, num_examples, batch_size_for(plan)):
            yield view, num_real, examples
