"""Record cells, trials and seeds in MLflow, live or afterwards from `results/`; the only module that imports mlflow.

Every call may be repeated: what the store holds already is found by its tags and not written twice.
"""

import os
import time
from collections.abc import Callable, Mapping, Sequence
from functools import cache, wraps
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar

from omegaconf import OmegaConf

from backbench.config import TrackingConfig
from backbench.errors import BackbenchError
from backbench.mlflow_store import artifact_folder, create_store, sqlite_file
from backbench.records import CellRecord, EpochRecord, results_digest
from backbench.runs import (
    cell_metrics,
    cell_parameters,
    cell_tags,
    dataset_input,
    epoch_curves,
    flattened,
    git_commit,
    weights_tags,
    without_secrets,
)

if TYPE_CHECKING:
    from mlflow.entities import Run
    from mlflow.tracking import MlflowClient

CELL_KEY, CELL_NAME, KIND = "backbench.cell_key", "backbench.cell", "backbench.kind"
RESULTS_DIGEST = "backbench.results_digest"
PRETRAINING_KEY = "backbench.pretraining_key"
PARENT = "mlflow.parentRunId"
WEIGHTS_TAGS = "backbench.weights_"
METRICS_PER_BATCH = 800
PARAMETERS_PER_BATCH = 100
MAX_CHILDREN = 50_000
RETRY_SECONDS = 1.0

Arguments = ParamSpec("Arguments")
Returned = TypeVar("Returned")


class TrackingError(BackbenchError):
    """The MLflow store cannot be reached, or refuses what is written."""


def _repeated_once(
    method: Callable[Concatenate["Tracker", Arguments], Returned],
) -> Callable[Concatenate["Tracker", Arguments], Returned]:
    """Call again after a failure, since MLflow may raise though it stored; the second failure is the user's to see."""

    @wraps(method)
    def repeated(tracker: "Tracker", /, *args: Arguments.args, **kwargs: Arguments.kwargs) -> Returned:
        from mlflow.exceptions import MlflowException

        try:
            return method(tracker, *args, **kwargs)
        except MlflowException:
            time.sleep(RETRY_SECONDS)
        try:
            return method(tracker, *args, **kwargs)
        except MlflowException as error:
            reason = without_secrets(str(error)).strip().splitlines()[0]
            raise TrackingError(
                f"MLflow: expected {tracker.uri_shown} to take a record, found: {reason}; "
                "check MLFLOW_TRACKING_URI or conf/tracking"
            ) from error

    return repeated


class Tracker:
    """One MLflow experiment: a parent run per cell, child runs for its trials and seeds.

    Every method raises TrackingError when the store fails twice.
    """

    def __init__(self, config: TrackingConfig) -> None:
        """Open the store, creating it and the MLflow experiment where they lack.

        Args:
            config: The environment variable MLFLOW_TRACKING_URI wins over `config.uri`.

        Raises:
            TrackingError: the store cannot be reached, or its driver is not installed.
        """
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "3")
        self._uri = os.environ.get("MLFLOW_TRACKING_URI") or config.uri
        self._experiment = config.experiment
        self.uri_shown = without_secrets(self._uri)
        self._weights_of = cache(self._weights_tags)  # children are many
        self._client, self._experiment_id = self._opened()

    @_repeated_once
    def _opened(self) -> tuple["MlflowClient", str]:
        from mlflow.tracking import MlflowClient

        file = sqlite_file(self._uri)
        if file is not None:
            create_store(file)
        try:
            client = MlflowClient(tracking_uri=self._uri)
        except ImportError as error:
            raise TrackingError(f"MLflow: {self.uri_shown} needs {error.name}, found none; pip install it") from error
        found = client.get_experiment_by_name(self._experiment)
        if found is None:
            folder = None if file is None else str(artifact_folder(file))
            return client, str(client.create_experiment(self._experiment, artifact_location=folder))
        if found.lifecycle_stage != "active":
            raise TrackingError(
                f"MLflow: expected the MLflow experiment {self._experiment} to be active, found it deleted; "
                "restore it, or name another in conf/tracking"
            )
        return client, str(found.experiment_id)

    @_repeated_once
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

    @_repeated_once
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

    @_repeated_once
    def log_seed(self, parent_id: str, seed: int, metrics: Mapping[str, float], history: Sequence[EpochRecord]) -> None:
        """Record a final model once; repeat it freely. Epoch curves are named `epoch/…`."""
        self._log_child(parent_id, "seed", seed, {"seed": seed}, metrics, history)

    @_repeated_once
    def finish_cell(
        self, parent_id: str, metrics: Mapping[str, float], tags: Mapping[str, str], results_digest: str
    ) -> None:
        """Put mean and standard deviation on the parent and finish it; best made by `cell_metrics`, `cell_tags`."""
        self._log(self._client.get_run(parent_id), metrics=metrics, tags={**tags, RESULTS_DIGEST: results_digest})
        self._client.set_terminated(parent_id)

    @_repeated_once
    def find_finished(self, results_digest: str) -> str | None:
        """Return the run id of a finished parent with exactly these results, or None."""
        found = self._search(f"tags.`{RESULTS_DIGEST}` = '{results_digest}' and attributes.status = 'FINISHED'")
        return str(found[0].info.run_id) if found else None

    @_repeated_once
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

    @_repeated_once
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
        found = self._search(f"tags.`{PRETRAINING_KEY}` = '{key}'")
        tags = {PRETRAINING_KEY: key, KIND: "pretraining"}
        run = found[0] if found else self._client.create_run(self._experiment_id, tags=tags, run_name=name)
        self._log(run, parameters=flattened(parameters), curves=curves)
        return str(run.info.run_id)

    @_repeated_once
    def finish_pretraining(self, run_id: str, metrics: Mapping[str, float], tags: Mapping[str, str]) -> None:
        """Put the outcome on a pretraining's run and finish it."""
        self._log(self._client.get_run(run_id), metrics=metrics, tags=tags)
        self._client.set_terminated(run_id)

    def _search(self, condition: str) -> list["Run"]:
        return list(self._client.search_runs([self._experiment_id], condition, max_results=MAX_CHILDREN))

    def _running(self, cell_key: str, parameters: Mapping[str, Any]) -> "Run | None":
        expected = flattened(parameters)
        for run in self._search(f"tags.`{CELL_KEY}` = '{cell_key}' and attributes.status = 'RUNNING'"):
            if all(expected.get(name, value) == value for name, value in run.data.params.items()):
                return run
        return None

    def _known_children(self, parent_id: str) -> set[tuple[str, str]]:
        finished = self._search(f"tags.`{PARENT}` = '{parent_id}' and attributes.status = 'FINISHED'")
        tags = [run.data.tags for run in finished]
        return {(label[KIND], label[f"backbench.{label[KIND]}"]) for label in tags if KIND in label}

    def _describe(self, parent: "Run", parameters: Mapping[str, Any], tags: Mapping[str, str]) -> None:
        from mlflow.entities import Dataset, DatasetInput, InputTag

        self._log(parent, parameters=flattened(parameters), tags=tags)
        text = without_secrets(OmegaConf.to_yaml(OmegaConf.create(dict(parameters))))
        self._client.log_text(parent.info.run_id, text, "configuration.yaml")
        dataset = dataset_input(parameters)
        if dataset is not None:
            entity = Dataset(**dataset)
            self._client.log_inputs(
                parent.info.run_id, [DatasetInput(entity, [InputTag("mlflow.data.context", "training")])]
            )

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
        found = self._search(" and ".join(f"tags.`{name}` = '{value}'" for name, value in tags.items()))
        if found and found[0].info.status == "FINISHED":
            return
        child = (
            found[0] if found else self._client.create_run(self._experiment_id, tags=tags, run_name=f"{kind} {index}")
        )
        curves, more = epoch_curves(history), self._weights_of(parent_id)
        self._log(child, parameters=flattened(parameters), metrics=metrics, curves=curves, tags=more)
        self._client.set_terminated(child.info.run_id)

    def _weights_tags(self, parent_id: str) -> dict[str, str]:
        tags = self._client.get_run(parent_id).data.tags
        return {name: value for name, value in tags.items() if name.startswith(WEIGHTS_TAGS)}

    def _log(
        self,
        run: "Run",
        *,
        parameters: Mapping[str, str] | None = None,
        metrics: Mapping[str, float] | None = None,
        curves: Mapping[str, Sequence[tuple[int, float]]] | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> None:
        """Log in as few calls as MLflow's limits allow; the run's own start is the time, so repeats are the same."""
        from mlflow.entities import Metric, Param, RunTag

        now = run.info.start_time
        points = [Metric(name, value, now, 0) for name, value in (metrics or {}).items()]
        points += [Metric(name, value, now, step) for name, curve in (curves or {}).items() for step, value in curve]
        params = [Param(name, value) for name, value in (parameters or {}).items()]
        labels = [RunTag(name, value) for name, value in (tags or {}).items()]
        for start in range(max(len(points) // METRICS_PER_BATCH, (len(params) - 1) // PARAMETERS_PER_BATCH) + 1):
            self._client.log_batch(
                run.info.run_id,
                points[start * METRICS_PER_BATCH : (start + 1) * METRICS_PER_BATCH],
                params[start * PARAMETERS_PER_BATCH : (start + 1) * PARAMETERS_PER_BATCH],
                labels if start == 0 else [],
            )
