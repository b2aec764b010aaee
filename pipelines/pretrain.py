"""Pretrain one slim backbone on images drawn by program: `python pipelines/pretrain.py backbone=resnet50_slim`."""

import sys
from pathlib import Path

import hydra
from hydra.errors import HydraException
from omegaconf import DictConfig

from backbench.config import BackboneConfig, PretrainConfig, to_typed
from backbench.entry import quiet_libraries
from backbench.errors import BackbenchError


@hydra.main(version_base=None, config_path="../conf", config_name="pretrain_entry")
def main(config: DictConfig) -> None:
    from backbench.model_card import record
    from backbench.pretraining import Folders, pretrain

    backbone = to_typed(config.backbone, BackboneConfig, where="conf/backbone")
    recipe = to_typed(config.pretrain, PretrainConfig, where="conf/pretrain")
    folders = Folders(*(Path(config.folders[key]) for key in ("cache", "state", "weights")))
    outcome = pretrain(backbone, recipe, folders)
    assert outcome is not None
    record(folders.weights / "README.md", backbone.name, outcome)
    print(f"{outcome.weights}  sha256 {outcome.sha256}  source val accuracy {outcome.val_accuracy:.3f}", flush=True)


if __name__ == "__main__":
    quiet_libraries()
    try:
        main()
    except (BackbenchError, HydraException) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
