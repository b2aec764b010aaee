"""A pretraining's run in MLflow: its curve at every checkpoint, its outcome at the end."""

from collections.abc import Mapping, Sequence
from typing import Any

import mlflow
from mlflow.entities import Metric, Param

from backbench.config.config import TrackingConfig
from pretraining.source_training import Outcome, SourceRecord

KEY = "backbench.pretraining_key"


class SourceRun:
    """The run of one recipe, found by its key, or created."""

    def __init__(self, tracking: TrackingConfig, key: str, name: str, recipe: Mapping[str, Any]) -> None:
        """Open the run and record its recipe.

        Args:
            tracking: The store, and the MLflow experiment in it.
            key: Names all that decides the run, so that a resumed one goes on in the same place.
            name: Shown as the run's name.
            recipe: May be nested.
        """
        mlflow.set_tracking_uri(tracking.uri)
        self._client = mlflow.MlflowClient()
        experiment = mlflow.set_experiment(tracking.experiment).experiment_id
        found = self._client.search_runs([experiment], f"tags.`{KEY}` = '{key}'", max_results=1)
        tags = {KEY: key, "backbench.kind": "pretraining"}
        run = found[0] if found else self._client.create_run(experiment, tags=tags, run_name=name)
        self._id = run.info.run_id
        self._client.log_batch(self._id, params=[Param(name, str(value)) for name, value in _flat(recipe)])

    def log(self, curve: Sequence[SourceRecord]) -> None:
        """Add the points of a curve that the run lacks."""
        known = {point.step for point in self._client.get_metric_history(self._id, "source_train_loss")}
        new = [record for record in curve if record.step not in known]
        losses = [Metric("source_train_loss", record.train_loss, 0, record.step) for record in new]
        accuracies = [
            Metric("source_val_accuracy", record.val_accuracy, 0, record.step)
            for record in new
            if record.val_accuracy is not None
        ]
        self._client.log_batch(self._id, metrics=losses + accuracies)

    def finish(self, outcome: Outcome) -> None:
        """Record what the run came to, and end it."""
        self.log(outcome.curve)
        self._client.log_metric(self._id, "wall_seconds", outcome.wall_seconds)
        self._client.set_tag(self._id, "backbench.weights_sha256", outcome.sha256)
        self._client.set_terminated(self._id)


def _flat(recipe: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    """Spell nested keys with dots, as Hydra does."""
    found: list[tuple[str, Any]] = []
    for name, value in recipe.items():
        found += _flat(value, f"{prefix}{name}.") if isinstance(value, Mapping) else [(prefix + name, value)]
    return found
