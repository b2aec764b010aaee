"""Pretrain one slim backbone on images drawn by program: `python pipelines/pretrain.py backbone=resnet50_slim`."""

from dataclasses import asdict
from pathlib import Path

import hydra
from omegaconf import DictConfig

from backbench.artifacts import only_writer
from backbench.config import BackboneConfig, PretrainConfig, TrackingConfig, to_typed
from backbench.entry import quiet_libraries, refusing


@hydra.main(version_base=None, config_path="../conf", config_name="pretrain_entry")
def main(config: DictConfig) -> None:
    with refusing():
        backbone = to_typed(config.backbone, BackboneConfig, where="conf/backbone")
        recipe = to_typed(config.pretrain, PretrainConfig, where="conf/pretrain")
        tracking = to_typed(config.tracking, TrackingConfig, where="conf/pretrain_entry.yaml: tracking")
        print(pretrained(backbone, recipe, tracking, config.folders), flush=True)


def pretrained(backbone: BackboneConfig, recipe: PretrainConfig, tracking: TrackingConfig, folders: DictConfig) -> str:
    """Run what remains, record it beside the weights and in MLflow, and return the line that says where to look."""
    from backbench.determinism import limit_threads
    from backbench.model_card import record, write_curve
    from backbench.pretraining import Folders, curves_of, pretrain, run_fingerprint
    from backbench.runs import git_commit
    from backbench.tracking import Tracker

    where = Folders(*(Path(folders[key]) for key in ("cache", "state", "weights")))
    tracker = Tracker(tracking)
    key, parameters = run_fingerprint(backbone, recipe), {"backbone": backbone.name, **asdict(recipe)}
    limit_threads(recipe.num_threads)
    with only_writer(f"pretrain-{backbone.name}-{key}"):
        run_id = tracker.log_pretraining(key, backbone.name, parameters, {})
        outcome = pretrain(
            backbone,
            recipe,
            where,
            watch=lambda curve: tracker.log_pretraining(key, backbone.name, parameters, curves_of(curve)),
        )
        assert outcome is not None
        tracker.log_pretraining(key, backbone.name, parameters, curves_of(outcome.curve))
        record(where.weights / "README.md", backbone.name, outcome)
        write_curve(where.weights / "curves" / f"{backbone.name}.csv", outcome.curve)
        tracker.finish_pretraining(
            run_id,
            {"source_val_accuracy": outcome.val_accuracy, "wall_seconds": outcome.wall_seconds},
            {"backbench.weights_sha256": outcome.sha256, "mlflow.source.git.commit": git_commit()},
        )
    return f"{outcome.weights}  sha256 {outcome.sha256}  source val accuracy {outcome.val_accuracy:.3f}"


if __name__ == "__main__":
    quiet_libraries()
    with refusing():
        main()
