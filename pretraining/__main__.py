"""Pretrain one slim backbone on images drawn by program: `python -m pretraining backbone=resnet50_slim`.

It resumes where it was stopped, and records the outcome beside the weights and in MLflow.
"""

from dataclasses import asdict
from pathlib import Path

import hydra
from omegaconf import DictConfig

from backbench.cli.entry import check_names, kept_in, quiet_libraries, refusing
from backbench.config.backbone_config import BackboneConfig
from backbench.config.config import to_typed
from backbench.config.running_config import TrackingConfig
from backbench.runtime import paths
from backbench.runtime.locks import only_writer
from pretraining.config import PretrainConfig

CONF = str(Path(__file__).parent / "conf")


@hydra.main(version_base=None, config_path=CONF, config_name="pretrain")
def main(config: DictConfig) -> None:
    with refusing():
        check_names(config)
        backbone = to_typed(config.backbone, BackboneConfig, where="conf/backbone")
        recipe = to_typed(config.pretrain, PretrainConfig, where="pretraining/conf/pretrain")
        tracking = to_typed(config.tracking, TrackingConfig, where="pretraining/conf/pretrain.yaml: tracking")
        folders = {name: Path(config.folders[name]) for name in ("cache", "state", "weights")}
        with kept_in(paths.log(f"pretrain-{backbone.name}")):
            print(pretrained(backbone, recipe, tracking, folders), flush=True)


def pretrained(
    backbone: BackboneConfig, recipe: PretrainConfig, tracking: TrackingConfig, folders: dict[str, Path]
) -> str:
    """Run what remains, record it, and return the line that says where to look."""
    # Imported here, so that a mistake in the configuration is told before TensorFlow is imported.
    from backbench.backbones.determinism import limit_threads
    from pretraining.model_card import record, write_curve
    from pretraining.runs import SourceRun
    from pretraining.source_training import Folders, pretrain, run_fingerprint

    limit_threads(recipe.num_threads)
    places = Folders(**folders)
    key = run_fingerprint(backbone, recipe)
    with only_writer(f"pretrain-{backbone.name}-{key}"):
        run = SourceRun(tracking, key, backbone.name, {"backbone": backbone.name, **asdict(recipe)})
        outcome = pretrain(backbone, recipe, places, watch=run.log)
        assert outcome is not None
        record(places.weights / "README.md", backbone.name, recipe, outcome)
        write_curve(places.weights / "curves" / f"{backbone.name}.csv", outcome.curve)
        run.finish(outcome)
    return f"{outcome.weights}  sha256 {outcome.sha256}  source val accuracy {outcome.val_accuracy:.3f}"


if __name__ == "__main__":
    quiet_libraries()
    with refusing():
        main()
