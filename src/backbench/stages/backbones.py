"""The backbones stage: what decides what a backbone computes, in a file for each, its weights among it.

It stands alone so that another backbone, its base or its weights, in `conf/` runs the cells that have it and no others.
"""

from collections.abc import Iterable

from backbench.config.backbone_config import BackboneConfig, WeightsConfig
from backbench.config.config import resolved_backbone
from backbench.data.arrays.file_formats import write_json
from backbench.runtime import paths


def backbones(weighted: Iterable[tuple[BackboneConfig, WeightsConfig]]) -> str:
    """Write `work/backbones/<backbone>.json` for each, and return the line that says where they are."""
    names = []
    for backbone, weights in weighted:
        write_json(paths.backbone(backbone.name), resolved_backbone(backbone, weights))
        names.append(backbone.name)
    for left in paths.BACKBONES.glob("*.json"):
        if left.stem not in names:
            left.unlink()
    return f"{len(names)} backbones with their weights are in {paths.BACKBONES}; next: dvc repro embed"
