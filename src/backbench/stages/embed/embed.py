"""The embed stage: activations of every image at the freeze boundaries of all strategies, in one pass per backbone.

This half plans ranges of images, has them run, and writes files. It imports no network: `opened_pass` does.
"""

import math
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from backbench.config.config import CellConfig
from backbench.config.strategy_config import ON_THE_FLY, StrategyConfig
from backbench.data.arrays.dataset import ALL, Dataset, open_dataset
from backbench.data.arrays.sizes import enlarged
from backbench.results.cell_inputs import code_of
from backbench.results.compute import EMBED, Stopwatch, write_compute
from backbench.results.records import fingerprint
from backbench.results.store_record import BoundaryRecord, StoreRecord
from backbench.runtime import paths
from backbench.runtime.atomic_files import remove_others
from backbench.runtime.console import progress_bar
from backbench.runtime.engine.engine import running
from backbench.runtime.engine.workers import THIS_PROCESS, Workers
from backbench.runtime.installation import backend, deciding_versions
from backbench.runtime.paths import Cell
from backbench.runtime.units import size
from backbench.stages.embed.pass_plan import Description, PassPlan, StorePlan
from backbench.stages.embed.store_writer import StoreWriter

if TYPE_CHECKING:
    from backbench.stages.embed.backbone_pass import BackbonePass

GIGABYTE = 10**9
FREE_BYTES = GIGABYTE
# What DVC stores of an output is a copy of it, unless the file system or the user's cache type can share blocks.
COPIES_ON_DISK = 2


def opened_pass(configs: tuple[CellConfig, ...]) -> "BackbonePass":
    """Open the backbone of some cells, in whichever process runs their tasks."""
    from backbench.stages.embed.backbone_pass import BackbonePass

    return BackbonePass(configs)


def embed(configs: Sequence[CellConfig], workers: Workers = THIS_PROCESS) -> str:
    """Write `work/activations/<backbone>/` and return the line that says where to look next.

    Images of all splits pass, the test images too, once for all folds; no label is read. A killed embed goes on where
    it stopped. What is over the limit, or has no room on the disk, is not stored: the later stages compute it.

    Args:
        configs: The cells of one backbone, one for each strategy; what is there of others is removed.
        workers: Who runs the ranges of images; no result depends on it.

    Raises:
        BackbenchError: the data set, the weights or a boundary cannot be used, or a value does not fit its type.
    """
    stopwatch, one = Stopwatch(), configs[0]
    title, state = f"embed {one.backbone.name}", paths.STATE / "embed" / one.backbone.name
    dataset = open_dataset(paths.DATASET)
    took = stopwatch.lap()
    with running(title, workers, partial(opened_pass, tuple(configs))) as run:
        ((_, graph),) = run({"graph": ("describe",)})
        took += graph.compute
        stopwatch.lap()  # what a task takes is in its record, here or elsewhere
        plan = _plan(configs, dataset, graph, state)
        writer = StoreWriter(plan)
        tasks = {str(images): ("embed_range", plan, images) for images in writer.missing}
        took += stopwatch.lap()
        num_images = sum(map(math.prod, plan.rows.values()))
        with progress_bar(title, num_images, "images", done=writer.num_rows) as advance:
            for name, part in run(tasks):
                writer.add(name, part)
                advance(part.num_rows)
    stopwatch.lap()
    for config in configs:
        writer.describe(config.strategy.name, _record(config, dataset, graph, plan, writer))
    writer.finish(paths.activations(one.backbone.name))
    took += writer.compute + stopwatch.lap()
    for config in configs:
        write_compute(EMBED, config.cell, took.share_of(len(configs)))
    shutil.rmtree(state, ignore_errors=True)  # a task that was run twice may end still
    return _last_line(configs, plan)


def _plan(configs: Sequence[CellConfig], dataset: Dataset, graph: Description, state: Path) -> PassPlan:
    """Plan what every strategy stores, as far as its limit and the disk allow, and say so."""
    room = disk_room_bytes(state)
    stores = {}
    for config in configs:
        strategy, cell = config.strategy, config.cell
        shapes = {layer: graph.places[layer].shape for layer in graph.layers[strategy.name].values()}
        wanted = StorePlan(shapes, _rows(strategy, dataset), strategy.activation_dtype)
        stores[strategy.name] = kept = wanted.within(min(strategy.activation_limit_gigabytes * GIGABYTE, room))
        room -= kept.num_bytes(*kept.shapes)
        print(_size_line(config, dataset, wanted), *_fallback_lines(cell, wanted, kept), sep="\n", flush=True)
    one = configs[0]
    found = enlarged(dataset.sides, dataset.image_size_pixels, one.backbone.input_size_pixels)
    if found.num_enlarged:
        print(f"embed {one.backbone.name}: {found}", flush=True)
    name = fingerprint(*_key(one, dataset, graph.weights_digest, stores))
    remove_others(state, [name])
    words = {layer: word for of_strategy in graph.layers.values() for word, layer in of_strategy.items()}
    return PassPlan(state / name, stores, words)


def disk_room_bytes(state: Path) -> int:
    """Return how much may be stored: what is free, and what an earlier process left in `state`, less a gigabyte.

    DVC's own copy has to fit too.
    """
    state.mkdir(parents=True, exist_ok=True)
    left = sum(file.stat().st_size for file in state.rglob("*") if file.is_file())
    return max(0, shutil.disk_usage(state).free + left - FREE_BYTES) // COPIES_ON_DISK


def _key(config: CellConfig, dataset: Dataset, weights: str, stores: Mapping[str, StorePlan]) -> Iterator[Any]:
    """List all that decides the content of the stores: which places a pass looks at may decide their last bits."""
    benchmark = config.benchmark
    yield from (dict(dataset.sha256), asdict(config.dataset.augmentation), config.dataset.split_seed)
    yield from (asdict(config.backbone), weights, benchmark.precision, benchmark.threads)
    yield {strategy: asdict(store) for strategy, store in stores.items()}
    yield from (code_of(Path(__file__), config.backbone), backend(), deciding_versions())


def _rows(strategy: StrategyConfig, dataset: Dataset) -> dict[str, tuple[int, int]]:
    views = dict.fromkeys(dataset.images, 1) | {dataset.array_of("train"): strategy.views}
    if views.get(ALL) == ON_THE_FLY:
        views[ALL] = 1  # what is trained on in one fold is tested in another
    return {split: (number, len(dataset.images[split])) for split, number in views.items() if number != ON_THE_FLY}


def _size_line(config: CellConfig, dataset: Dataset, plan: StorePlan) -> str:
    num_images = sum(len(images) for images in dataset.images.values())
    stored = f"{plan.num_rows:,} with views"
    if config.strategy.views == ON_THE_FLY:
        stored = f"{plan.num_rows:,} of them stored, a new view of each training image when it is seen"
    planned = f"{size(plan.num_bytes(*plan.shapes))} of {plan.dtype}"
    return f"embed {config.cell}: {num_images:,} images, {stored} → {planned} at {', '.join(plan.shapes)}"


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


def _record(
    config: CellConfig, dataset: Dataset, graph: Description, plan: PassPlan, writer: StoreWriter
) -> StoreRecord:
    strategy = config.strategy.name
    store = plan.stores[strategy]
    records = tuple(
        BoundaryRecord(
            name=name,
            boundary=layer,
            num_prefix_parameters=graph.places[layer].num_prefix_parameters,
            num_suffix_parameters=graph.places[layer].num_suffix_parameters,
            stored={split: layer in store.shapes and split in store.rows for split in dataset.images},
            float16_error=writer.float16_error(strategy, layer),
        )
        for name, layer in graph.layers[strategy].items()
    )
    return StoreRecord(
        config.strategy.views,
        graph.weights_digest,
        graph.weights_file,
        dataset.digest,
        writer.digests(strategy),
        records,
    )


def _last_line(configs: Sequence[CellConfig], plan: PassPlan) -> str:
    backbone = configs[0].backbone.name
    stored = [config.cell for config in configs if plan.stores[config.strategy.name].shapes]
    where = f"are in {paths.activations(backbone)}" if stored else "will be computed by the next stages"
    cells = " ".join(f"sweep@{config.cell}" for config in configs)
    return f"{backbone}: activations for {', '.join(plan.stores)} {where}; next: dvc repro {cells}"
