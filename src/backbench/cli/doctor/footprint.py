"""How much memory and disk a cell takes: as an earlier run measured it, else at most what its configuration allows.

No graph is built, so what lies at a boundary is bounded by the side and the width that it can have.
"""

import math
import re

from backbench.cli.doctor.earlier import EarlierRun, earlier_run
from backbench.cli.doctor.images import Images
from backbench.cli.doctor.plan import Plan
from backbench.config.config import INPUT, LAST_STAGE, ON_THE_FLY, OUTPUT, CellConfig, StrategyConfig

STAGE = re.compile(r"stage_(\d+)")
# What ends before the last stage of a convolutional network works at 1/16 of the input's side.
LAST_STAGE_STRIDE, LEAST_STRIDE = 16, 4
FLOAT_BYTES = 4
BYTES = {"float16": 2, "float32": 4}
# A process that has imported all and holds a small model (docs/performance.md, Memory).
PROCESS_BYTES = 10**9
EMBED_BATCH, ALIVE_LAYERS, WIDEST_CHANNELS, TRAINED_LAYERS = 128, 3, 64, 10
# Weights, their gradient, two moments of AdamW, the values to start from, and those of the best epoch.
COPIES_OF_WEIGHTS = 6
COPIES_ON_DISK = 2  # DVC keeps one


def cell_bytes(plan: Plan, images: Images) -> list[float]:
    """Return the memory that each cell takes at its peak."""
    sizes = []
    for config in plan.cells:
        measured = earlier_run(config, images).peak_memory_bytes
        size_of_one = _process_bytes(config, images) if measured is None else measured
        sizes.append(plan.num_processes_of_a_cell * size_of_one)
    return sizes


def disk_bytes(config: CellConfig, images: Images, earlier: EarlierRun) -> float:
    """Return the disk that a cell takes, DVC's copies included."""
    measured = earlier.activation_bytes
    activations = activation_bytes(config, images) if measured is None else measured
    trained = config.backbone.num_parameters or 0 if _has_suffix(config.strategy) else 0
    head = config.backbone.feature_dim * images.num_classes
    return COPIES_ON_DISK * (activations + len(config.benchmark.seeds) * (trained + head) * FLOAT_BYTES)


def pixel_bytes(images: Images) -> float:
    """Return the disk that prepared images take, DVC's copies included."""
    return COPIES_ON_DISK * images.num_images * 3 * images.stored_pixels**2


def activation_bytes(config: CellConfig, images: Images) -> float:
    """Return at most how much embed stores for a cell; what is over the strategy's limit is not stored."""
    strategy = config.strategy
    values = sum(_values_at(config, boundary) for boundary in strategy.boundaries)
    num_bytes = _stored_rows(strategy, images) * values * BYTES[strategy.activation_dtype]
    return min(num_bytes, strategy.activation_limit_gigabytes * 10**9)


def _stored_rows(strategy: StrategyConfig, images: Images) -> int:
    """Return how many images and views embed keeps: none of train where views are made on the fly."""
    views = 0 if strategy.views == ON_THE_FLY else int(strategy.views)
    return views * images.counts["train"] + images.counts["val"] + images.counts["test"]


def _values_at(config: CellConfig, boundary: str) -> float:
    """Bound the values of one image at a boundary: no stage is wider than the features."""
    backbone = config.backbone
    if boundary == OUTPUT:
        return backbone.feature_dim
    if boundary == INPUT:
        return 3 * backbone.input_size_pixels**2
    stage = STAGE.fullmatch(boundary)
    stride = LAST_STAGE_STRIDE if boundary == LAST_STAGE else 2 ** int(stage[1]) if stage else LEAST_STRIDE
    return math.ceil(backbone.input_size_pixels / stride) ** 2 * backbone.feature_dim


def _has_suffix(strategy: StrategyConfig) -> bool:
    """Say whether a part of the backbone may train."""
    return any(boundary != OUTPUT for boundary in strategy.boundaries)


def _process_bytes(config: CellConfig, images: Images) -> float:
    """Bound the largest process of a cell: its libraries, weights, the widest layers of a batch, kept features."""
    backbone, strategy = config.backbone, config.strategy
    weights = (backbone.num_parameters or 0) * FLOAT_BYTES
    layer = backbone.input_size_pixels**2 * WIDEST_CHANNELS * (backbone.width or 1.0) * FLOAT_BYTES
    embed = weights + EMBED_BATCH * ALIVE_LAYERS * layer
    if not _has_suffix(strategy):
        return PROCESS_BYTES + embed
    features = _stored_rows(strategy, images) * backbone.feature_dim * FLOAT_BYTES
    return PROCESS_BYTES + max(
        embed, COPIES_OF_WEIGHTS * weights + strategy.batch_size * TRAINED_LAYERS * layer + features
    )
