"""Record cells, trials and seeds in MLflow as runs, live or afterwards from `results/`.

Every call may be repeated: what the store holds already is found by its tags and not written twice.
"""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

from omegaconf import OmegaConf

from backbench.config import TrackingConfig
from backbench.errors import TrackingError
from backbench.mlflow_connection import Connection, repeated_once
from backbench.records import CellRecord, EpochRecord, results_digest
from backbench.runs import (
    cell_metrics,
    cell_parameters,
    cell_tags,
    child_name,
    dataset_input,
    epoch_curves,
    flattened,
    git_commit,
    weights_tags,
)
from backbench.web_address import without_secrets

if TYPE_CHECKING:
    from mlflow.entities import Run

__all__ = ["Tracker", "TrackingError"]

CELL_KEY, CELL_NAME, KIND = "backbench.cell_key", "backbench.cell", "backbench.kind"
RESULTS_DIGEST = "backbench.results_digest"
PRETRAINING_KEY = "backbench.pretraining_key"
PARENT = "mlflow.parentRunId"
WEIGHTS_TAGS = "backbench.weights_"


class Tracker:
    """One MLflow experiment: a parent run per cell, child runs for its trials and seeds.

    Every method raises TrackingError when the store fails twice.
    """

    def __init__(self, config: TrackingConfig) -> None:
        """Open the store, creating it and the MLflow experiment where they lack."""
        self.connection = Connection(config)
        self.uri_shown = self.connection.uri_shown
        self._client, self._experiment_id = self.connection.client, self.connection.experiment_id
        self._log = self.connection.log
        self._weights_of = cache(self._weights_tags)  # children are many

    @repeated_once
    def begin_cell(self, cell_key: str, cell_name: str, parameters: Mapping[str, Any], tags: Mapping[str, str]) -> str:
        """Resume the cell's running parent, after a kill or from another stage, or create one.

        Args:
            cell_key: Names the cell's inputs; a running parent of that key and these parameters is resumed.
            cell_name: Shown as the run's name.
            parameters: Best made by `cell_parameters`; may be nested.
            tags: Further labels.

        Returns:
            The parent's run id.
        """
        parent = self._running(cell_key, parameters) or self._client.create_run(
            self._experiment_id, tags={CELL_KEY: cell_key, CELL_NAME: cell_name, KIND: "cell"}, run_name=cell_name
        )
        tags = {**tags, **weights_tags(parameters), "mlflow.source.git.commit": git_commit()}
        self._describe(parent, parameters, tags)
        return str(parent.info.run_id)

    @repeated_once
    def log_trial(
        self,
        parent_id: str,
        index: int,
        parameters: Mapping[str, Any],
        metrics: Mapping[str, float],
        history: Sequence[EpochRecord],
    ) -> None:
        """Record a finished trial once; repeat it freely. Epoch curves are named `epoch/…`."""
        self._log_child(parent_id, "trial", index, parameters, metrics, history)

    @repeated_once
    def log_seed(self, parent_id: str, seed: int, metrics: Mapping[str, float], history: Sequence[EpochRecord]) -> None:
        """Record a final model once; repeat it freely. Epoch curves are named `epoch/…`."""
        self._log_child(parent_id, "seed", seed, {"seed": seed}, metrics, history)

    @repeated_once
    def finish_cell(
        self, parent_id: str, metrics: Mapping[str, float], tags: Mapping[str, str], results_digest: str
    ) -> None:
        """Put mean and standard deviation on the parent and finish it; best made by `cell_metrics`, `cell_tags`."""
        self._log(self._client.get_run(parent_id), metrics=metrics, tags={**tags, RESULTS_DIGEST: results_digest})
        self._client.set_terminated(parent_id)

    @repeated_once
    def find_finished(self, results_digest: str) -> str | None:
        """Return the run id of a finished parent with exactly these results, or None."""
        found = self.connection.search_where(
            f"tags.`{RESULTS_DIGEST}` = '{results_digest}' and attributes.status = 'FINISHED'"
        )
        return str(found[0].info.run_id) if found else None

    @repeated_once
    def publish(self, record: CellRecord) -> str | None:
        """Create what the store lacks of a finished cell, so that live logging and this show the same tables.

        Returns:
            The parent's run id, or None where nothing lacked.
        """
        digest = results_digest(record)
        parameters = cell_parameters(record.best.configuration, record.best.digests)
        running = self._running(record.best.cell_key, parameters)
        finished = None if running else self.find_finished(digest)
        parent_id = finished or self.begin_cell(record.best.cell_key, str(record.cell), parameters, cell_tags(record))
        known = self._known_children(parent_id)
        trials = [trial for trial in record.trials if ("trial", str(trial.index)) not in known]
        seeds = [seed for seed in record.seeds if ("seed", str(seed.seed)) not in known]
        for trial in trials:
            self.log_trial(parent_id, trial.index, trial.parameters, trial.metrics, trial.history)
        for seed in seeds:
            self.log_seed(parent_id, seed.seed, seed.metrics, seed.history)
        if not finished:
            self.finish_cell(parent_id, cell_metrics(record), cell_tags(record), digest)
        return parent_id if trials or seeds or not finished else None

    def published(self, record: CellRecord) -> str:
        """Publish a finished cell and return its parent's run id."""
        self.publish(record)
        found = self.find_finished(results_digest(record))
        assert found is not None
        return found

    @repeated_once
    def log_pretraining(
        self, key: str, name: str, parameters: Mapping[str, Any], curves: Mapping[str, Sequence[tuple[int, float]]]
    ) -> str:
        """Put the curves so far on a pretraining's run, found by its key or created; repeat it freely.

        Args:
            key: Names the recipe.
            name: Shown as the run's name.
            parameters: The recipe; may be nested.
            curves: Steps and values of each metric, from the beginning.

        Returns:
            The run's id.
        """
        found = self.connection.search_where(f"tags.`{PRETRAINING_KEY}` = '{key}'")
        tags = {PRETRAINING_KEY: key, KIND: "pretraining"}
        run = found[0] if found else self._client.create_run(self._experiment_id, tags=tags, run_name=name)
        self._log(run, parameters=flattened(parameters), curves=curves)
        return str(run.info.run_id)

    @repeated_once
    def finish_pretraining(self, run_id: str, metrics: Mapping[str, float], tags: Mapping[str, str]) -> None:
        """Put the outcome on a pretraining's run and finish it."""
        self._log(self._client.get_run(run_id), metrics=metrics, tags=tags)
        self._client.set_terminated(run_id)

    def _running(self, cell_key: str, parameters: Mapping[str, Any]) -> "Run | None":
        expected = flattened(parameters)
        for run in self.connection.search_where(f"tags.`{CELL_KEY}` = '{cell_key}' and attributes.status = 'RUNNING'"):
            if all(expected.get(name, value) == value for name, value in run.data.params.items()):
                return run
        return None

    def _known_children(self, parent_id: str) -> set[tuple[str, str]]:
        finished = self.connection.search_where(f"tags.`{PARENT}` = '{parent_id}' and attributes.status = 'FINISHED'")
        tags = [run.data.tags for run in finished]
        return {(label[KIND], label[f"backbench.{label[KIND]}"]) for label in tags if KIND in label}

    def _describe(self, parent: "Run", parameters: Mapping[str, Any], tags: Mapping[str, str]) -> None:
        self._log(parent, parameters=flattened(parameters), tags=tags)
        text = without_secrets(OmegaConf.to_yaml(OmegaConf.create(dict(parameters))))
        self._client.log_text(parent.info.run_id, text, "configuration.yaml")
        self.connection.log_dataset(parent, dataset_input(parameters))

    def _log_child(
        self,
        parent_id: str,
        kind: str,
        index: int,
        parameters: Mapping[str, Any],
        metrics: Mapping[str, float],
        history: Sequence[EpochRecord],
    ) -> None:
        tags = {PARENT: parent_id, KIND: kind, f"backbench.{kind}": str(index)}
        found = self.connection.search_where(" and ".join(f"tags.`{name}` = '{value}'" for name, value in tags.items()))
        if found and found[0].info.status == "FINISHED":
            return
        child = (
            found[0]
            if found
            else self._client.create_run(self._experiment_id, tags=tags, run_name=child_name(kind, index, parameters))
        )
        curves, more = epoch_curves(history), self._weights_of(parent_id)
        self._log(child, parameters=flattened(parameters), metrics=metrics, curves=curves, tags=more)
        self._client.set_terminated(child.info.run_id)

    def _weights_tags(self, parent_id: str) -> dict[str, str]:
        tags = self._client.get_run(parent_id).data.tags
        return {name: value for name, value in tags.items() if name.startswith(WEIGHTS_TAGS)}
