"""Pretrain one slim backbone on images drawn by program: `python pipelines/pretrain.py backbone=resnet50_slim`."""

from pathlib import Path

import checkout  # noqa: F401
import hydra
from omegaconf import DictConfig

from backbench.config.backbone_config import BackboneConfig
from backbench.config.config import TrackingConfig, to_typed
from backbench.pretraining.pretrain_config import PretrainConfig
from backbench.runtime import paths
from backbench.runtime.library_output import kept_in
from backbench.stages.entry import check_names, quiet_libraries, refusing


@hydra.main(version_base=None, config_path="../conf", config_name="pretrain_entry")
def main(config: DictConfig) -> None:
    with refusing():
        check_names(config)
        backbone = to_typed(config.backbone, BackboneConfig, where="conf/backbone")
        recipe = to_typed(config.pretrain, PretrainConfig, where="conf/pretrain")
        tracking = to_typed(config.tracking, TrackingConfig, where="conf/pretrain_entry.yaml: tracking")
        with kept_in(paths.log(f"pretrain-{backbone.name}")):
            # Imported here, so that a mistake in the configuration is told before TensorFlow is imported.
            from backbench.pretraining.pretrain_stage import pretrained
            from backbench.pretraining.pretraining import Folders

            folders = Folders(*(Path(config.folders[key]) for key in ("cache", "state", "weights")))
            print(pretrained(backbone, recipe, tracking, folders), flush=True)


if __name__ == "__main__":
    quiet_libraries()
    with refusing():
        main()
