"""Pretrain one backbone, and record the outcome beside its weights and in MLflow."""

from dataclasses import asdict

from backbench.backbones.determinism import limit_threads
from backbench.config.backbone_config import BackboneConfig
from backbench.config.config import TrackingConfig
from backbench.pretraining.model_card import record, write_curve
from backbench.pretraining.pretrain_config import PretrainConfig
from backbench.pretraining.pretraining import Folders, curves_of, pretrain, run_fingerprint
from backbench.runtime.locks import only_writer
from backbench.tracking.tracking import Tracker


def pretrained(backbone: BackboneConfig, recipe: PretrainConfig, tracking: TrackingConfig, folders: Folders) -> str:
    """Run what remains, record it, and return the line that says where to look.

    Raises:
        BackbenchError: the recipe is impossible, or the MLflow store cannot be reached.
    """
    tracker = Tracker(tracking)
    key, parameters = run_fingerprint(backbone, recipe), {"backbone": backbone.name, **asdict(recipe)}
    limit_threads(recipe.num_threads)
    with only_writer(f"pretrain-{backbone.name}-{key}"):
        tracker.log_pretraining(key, backbone.name, parameters, {})
        outcome = pretrain(
            backbone,
            recipe,
            folders,
            watch=lambda curve: tracker.log_pretraining(key, backbone.name, parameters, curves_of(curve)),
        )
        assert outcome is not None
        run_id = tracker.log_pretraining(key, backbone.name, parameters, curves_of(outcome.curve))
        record(folders.weights / "README.md", backbone.name, outcome)
        write_curve(folders.weights / "curves" / f"{backbone.name}.csv", outcome.curve)
        tracker.finish_pretraining(
            run_id,
            {"source_val_accuracy": outcome.val_accuracy, "wall_seconds": outcome.wall_seconds},
            {"backbench.weights_sha256": outcome.sha256},
        )
    return f"{outcome.weights}  sha256 {outcome.sha256}  source val accuracy {outcome.val_accuracy:.3f}"
