"""How much a cell computes, from what its configuration says: multiply-accumulates, training steps, bytes.

No graph is built, so where a boundary lies is not known; `share_above` says what is taken instead.
"""

import math
import re
from dataclasses import dataclass

from backbench.cli.doctor.images import Images
from backbench.config.config import INPUT, LAST_STAGE, ON_THE_FLY, OUTPUT, UNFREEZE, CellConfig, StrategyConfig

STAGE = re.compile(r"stage_(\d+)")
# The last stage of a convolutional network works at 1/32 of the input's side, and the stage before it ends at 1/16.
LAST_STAGE_STRIDE = 32
# Which share of the parameters the last stage holds: 0.48 to 0.75 in the networks that docs/command.md lists.
LAST_STAGE_SHARE = 0.6
# One forward pass and, for the gradients of inputs and of weights, two more of the same size.
PASSES_OF_A_STEP = 3
FLOAT_BYTES = 4
BYTES = {"float16": 2, "float32": 4}


@dataclass(frozen=True)
class Work:
    """What one stage of a cell computes: multiply-accumulates, and steps of suffixes and of stacked heads."""

    macs: float = 0.0
    suffix_steps: int = 0
    head_steps: int = 0


def has_suffix(strategy: StrategyConfig) -> bool:
    """Say whether a part of the backbone may train."""
    return any(boundary != OUTPUT for boundary in strategy.boundaries)


def _num_macs(config: CellConfig) -> int:
    return config.backbone.num_macs or 0


def suffix_macs(config: CellConfig) -> float:
    """Return the multiply-accumulates above the lowest boundary for one image, never more than there are in all."""
    return max(_macs_above(config, boundary) for boundary in config.strategy.boundaries)


def _macs_above(config: CellConfig, boundary: str) -> float:
    """Estimate what one boundary leaves to train.

    A kernel is applied once per output pixel: so what works at a side of `size / stride` takes its parameters times
    the square of that side. A share of the depth is taken as a share of the work; for a named layer, all of it is.
    """
    total = _num_macs(config)
    if boundary == OUTPUT:
        return 0.0
    if boundary.startswith(UNFREEZE):
        return total * float(boundary.removeprefix(UNFREEZE))
    stage = STAGE.fullmatch(boundary)
    if boundary != LAST_STAGE and stage is None:
        return total
    stride = LAST_STAGE_STRIDE if stage is None else 2 ** (int(stage[1]) + 1)
    share = LAST_STAGE_SHARE if stride >= LAST_STAGE_STRIDE else 1.0
    pixels = max(1, config.backbone.input_size_pixels // stride) ** 2
    return min(total, share * (config.backbone.num_parameters or 0) * pixels)


def stored_rows(strategy: StrategyConfig, images: Images) -> int:
    """Return how many images and views embed passes, and keeps: none of train where views are made on the fly."""
    views = 0 if strategy.views == ON_THE_FLY else int(strategy.views)
    return views * images.counts["train"] + images.counts["val"] + images.counts["test"]


def embed_work(config: CellConfig, images: Images) -> Work:
    """Every row passes the part below the boundary; that part is taken to be the whole network."""
    return Work(macs=stored_rows(config.strategy, images) * _num_macs(config))


def sweep_work(config: CellConfig, images: Images) -> Work:
    """Every trial for all of its epochs, none stopped early."""
    search, strategy = config.search, config.strategy
    if not has_suffix(strategy):
        return _heads(config, images, num_stacks=math.ceil(search.num_trials / max(1, search.trials_per_batch)))
    fits = _suffixes(config, images, num_fits=search.num_trials)
    starts = _head_starts(config, images, num_starts=len(strategy.boundaries))
    return _sum(fits, starts)


def train_work(config: CellConfig, images: Images) -> Work:
    """Every seed for all of its epochs, and the test images once each."""
    num_seeds = len(config.benchmark.seeds)
    if not has_suffix(config.strategy):
        return _heads(config, images, num_stacks=1)
    test = Work(macs=num_seeds * images.counts["test"] * suffix_macs(config))
    fits = _suffixes(config, images, num_fits=num_seeds)
    return _sum(fits, _head_starts(config, images, num_starts=num_seeds), test)


def _num_steps(epochs: int, images: Images, batch_size: int) -> int:
    return epochs * math.ceil(images.counts["train"] / batch_size)


def _computed_macs(config: CellConfig, images: Images, num_epochs: int) -> float:
    """Return what the frozen part costs where it runs for every new view."""
    if config.strategy.views != ON_THE_FLY:
        return 0.0
    return num_epochs * images.counts["train"] * (_num_macs(config) - suffix_macs(config))


def _heads(config: CellConfig, images: Images, *, num_stacks: int) -> Work:
    epochs = num_stacks * config.strategy.epochs
    steps = _num_steps(epochs, images, config.strategy.batch_size)
    return Work(macs=_computed_macs(config, images, epochs), head_steps=steps)


def _suffixes(config: CellConfig, images: Images, *, num_fits: int) -> Work:
    epochs = num_fits * config.strategy.epochs
    passes = PASSES_OF_A_STEP * images.counts["train"] + images.counts["val"]
    return Work(
        macs=epochs * passes * suffix_macs(config) + _computed_macs(config, images, epochs),
        suffix_steps=_num_steps(epochs, images, config.strategy.batch_size),
    )


def _head_starts(config: CellConfig, images: Images, *, num_starts: int) -> Work:
    """Features are pooled through the suffix once per model, whatever the number of seeds; then heads train on them."""
    start = config.strategy.head_start
    if start is None:
        return Work()
    rows = stored_rows(config.strategy, images) - images.counts["test"]
    steps = _num_steps(num_starts * start.epochs, images, config.strategy.batch_size)
    return Work(macs=rows * suffix_macs(config), head_steps=steps)


def _sum(*parts: Work) -> Work:
    return Work(
        sum(part.macs for part in parts),
        sum(part.suffix_steps for part in parts),
        sum(part.head_steps for part in parts),
    )


def activation_bytes(config: CellConfig, images: Images) -> float:
    """Return at most how much embed stores for a cell; what is over the strategy's limit is not stored."""
    strategy = config.strategy
    values = sum(_values_at(config, boundary) for boundary in strategy.boundaries)
    num_bytes = stored_rows(strategy, images) * values * BYTES[strategy.activation_dtype]
    return min(num_bytes, strategy.activation_limit_gigabytes * 10**9)


def _values_at(config: CellConfig, boundary: str) -> float:
    """Bound the values of one image at a boundary: no stage is wider than the features."""
    backbone = config.backbone
    if boundary == OUTPUT:
        return backbone.feature_dim
    if boundary == INPUT:
        return 3 * backbone.input_size_pixels**2
    stage = STAGE.fullmatch(boundary)
    stride = LAST_STAGE_STRIDE // 2
    if stage is not None:
        stride = 2 ** int(stage[1])
    elif boundary != LAST_STAGE:
        stride = 4
    return math.ceil(backbone.input_size_pixels / stride) ** 2 * backbone.feature_dim
