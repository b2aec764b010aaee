"""The size stage: which side of images the benchmark wants.

It stands alone so that `prepare` runs again where that side changes, and not whenever a backbone is added.
"""

from collections.abc import Sequence

from backbench.config.backbone_config import BackboneConfig
from backbench.config.dataset_config import DatasetConfig
from backbench.data.arrays.file_formats import write_json
from backbench.runtime import paths


def size(dataset: DatasetConfig, backbones: Sequence[BackboneConfig]) -> str:
    """Write `work/image_size.json` and return the line that says what is in it."""
    side, reason = dataset.image_size_pixels, f"as {dataset.file} says"
    if side is None:
        side = max(backbone.input_size_pixels for backbone in backbones)
        reason = "which the largest backbone of the benchmark takes, where the photographs have it"
    write_json(paths.IMAGE_SIZE, {"wanted_pixels": side})
    return f"{dataset.name}: images are wanted of {side} px, {reason}"
