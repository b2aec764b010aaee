"""A pretraining's run in MLflow: its curve at every checkpoint, its outcome at the end."""

from collections.abc import Mapping, Sequence
from typing import Any

from backbench.config.running_config import TrackingConfig
from backbench.tracking.connection import Connection
from backbench.tracking.runs import flattened
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

        Raises:
            TrackingError: the store cannot be used.
        """
        self._connection = Connection(tracking)
        found = self._connection.search({KEY: key})
        tags = {KEY: key, "backbench.kind": "pretraining"}
        self._run = found[0] if found else self._connection.create(name, tags)
        self._connection.log(self._run, parameters=flattened(recipe))

    def log(self, curve: Sequence[SourceRecord]) -> None:
        """Put a curve on the run; points that it has already stay as they are."""
        losses = [(record.step, record.train_loss) for record in curve]
        accuracies = [(record.step, record.val_accuracy) for record in curve if record.val_accuracy is not None]
        curves = {"source_train_loss": losses, "source_val_accuracy": accuracies}
        self._connection.log(self._run, curves=curves)

    def finish(self, outcome: Outcome) -> None:
        """Record what the run came to, and end it."""
        self.log(outcome.curve)
        metrics, tags = {"wall_seconds": outcome.wall_seconds}, {"backbench.weights_sha256": outcome.sha256}
        self._connection.log(self._run, metrics=metrics, tags=tags)
        self._connection.client.set_terminated(self._run.info.run_id)
