"""One MLflow experiment, opened, and what every writer of it shares: searching and logging within MLflow's limits."""

import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from backbench.compat.mlflow_stores import artifact_sizes, create_store
from backbench.config.running_config import TrackingConfig
from backbench.runtime.digests import file_sha256
from backbench.runtime.errors import TrackingError
from backbench.runtime.web_address import without_secrets
from backbench.tracking.refusals import is_lacking, reason, store_errors
from backbench.tracking.runs import dataset_input
from backbench.tracking.store_address import artifact_folder, sqlite_file, store_uri, unreachable_artifacts

if TYPE_CHECKING:
    from mlflow.entities import Metric, Run
    from mlflow.tracking import MlflowClient

METRICS_PER_BATCH = 800
PARAMETERS_PER_BATCH = 100
FILE_DIGEST = "backbench.sha256"
MAX_RUNS = 50_000
# A call to a server that is away fails soon: whoever calls knows better when to call again.
SETTINGS = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "60",
    # A line or two for every run, with whatever password the address holds.
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}
# They print every failed attempt, tracebacks too; what matters of it is in the error that is raised.
TALKATIVE = ("mlflow.store.db.utils", "urllib3.connectionpool")

Curves = Mapping[str, Sequence[tuple[int, float]]]


class Connection:
    """A client and the id of the MLflow experiment that the configuration names.

    What MLflow raises passes through; `refusals.py` makes a TrackingError of it.
    """

    def __init__(self, config: TrackingConfig) -> None:
        """Open the store, creating it and the MLflow experiment where they lack.

        Raises:
            TrackingError: the address is wrong, its driver is not installed, the MLflow experiment is deleted, or its
                files cannot be written to from here.
        """
        for name, value in SETTINGS.items():
            os.environ.setdefault(name, value)
        for logger in TALKATIVE:
            logging.getLogger(logger).setLevel(logging.CRITICAL)
        self.uri, self.experiment = store_uri(config.uri), config.experiment
        self.uri_shown = without_secrets(self.uri)
        self._takes_datasets = True
        self.client = self._client()
        self.experiment_id = self._experiment_id()
        location = self.client.get_experiment(self.experiment_id).artifact_location
        refusal = unreachable_artifacts(self.uri, location)
        if refusal is not None:
            raise TrackingError(f"MLflow: {refusal}")

    def _client(self) -> "MlflowClient":
        from mlflow.tracking import MlflowClient

        file = sqlite_file(self.uri)
        if file is not None:
            create_store(file, artifact_folder(file))
        try:
            return MlflowClient(tracking_uri=self.uri)
        except ImportError as error:
            raise TrackingError(f"MLflow: {self.uri_shown} needs {error.name}, found none; pip install it") from error
        except ValueError as error:
            raise TrackingError(
                f"MLflow: expected the address of a store, found {self.uri_shown}: {error}; "
                "correct MLFLOW_TRACKING_URI or conf/tracking"
            ) from error

    def _experiment_id(self) -> str:
        found, file = self.client.get_experiment_by_name(self.experiment), sqlite_file(self.uri)
        if found is None:
            folder = None if file is None else str(artifact_folder(file))
            return str(self.client.create_experiment(self.experiment, artifact_location=folder))
        if found.lifecycle_stage != "active":
            raise TrackingError(
                f"MLflow: expected the MLflow experiment {self.experiment} to be active, found it deleted; "
                "restore it, or name another in conf/tracking"
            )
        return str(found.experiment_id)

    def search(self, tags: Mapping[str, str], *, status: str | None = None) -> list["Run"]:
        """Return the runs of this MLflow experiment that have these tags, latest first."""
        conditions = [f"tags.`{name}` = '{value}'" for name, value in tags.items()]
        conditions += [f"attributes.status = '{status}'"] if status else []
        return list(self.client.search_runs([self.experiment_id], " and ".join(conditions), max_results=MAX_RUNS))

    def create(self, name: str, tags: Mapping[str, str]) -> "Run":
        """Create a run of this MLflow experiment."""
        return self.client.create_run(self.experiment_id, tags=dict(tags), run_name=name)

    def log(
        self,
        run: "Run",
        *,
        parameters: Mapping[str, str] | None = None,
        metrics: Mapping[str, float] | None = None,
        curves: Curves | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> None:
        """Log in as few calls as MLflow's limits allow; the run's own start is the time, so repeats are the same."""
        from mlflow.entities import Param, RunTag

        points = metric_points(run, metrics or {}, curves or {})
        params = [Param(name, value) for name, value in (parameters or {}).items()]
        labels = [RunTag(name, value) for name, value in (tags or {}).items()]
        for start in range(max(len(points) // METRICS_PER_BATCH, (len(params) - 1) // PARAMETERS_PER_BATCH) + 1):
            self.client.log_batch(
                run.info.run_id,
                points[start * METRICS_PER_BATCH : (start + 1) * METRICS_PER_BATCH],
                params[start * PARAMETERS_PER_BATCH : (start + 1) * PARAMETERS_PER_BATCH],
                labels if start == 0 else [],
            )

    def log_dataset(self, run: "Run", parameters: Mapping[str, Any]) -> None:
        """Name the data set of a run with the parameters of a `CellRun`, where the store keeps such names."""
        from mlflow.entities import Dataset, DatasetInput, InputTag

        dataset = dataset_input(parameters)
        if dataset is None or not self._takes_datasets:
            return
        context = InputTag("mlflow.data.context", "training")
        try:
            self.client.log_inputs(run.info.run_id, [DatasetInput(Dataset(**dataset), [context])])
        except store_errors() as error:
            if not is_lacking(error):
                raise
            self._takes_datasets = False
            print(f"going on without the data sets of runs: {self.uri_shown} keeps none: {reason(error)}", flush=True)

    def attach(self, run: "Run", files: Mapping[str, Sequence[Path]]) -> None:
        """Put files into folders of a run's artifacts, but those that lie there already, with the same content."""
        for folder, paths in files.items():
            there = artifact_sizes(run.info.artifact_uri, self.uri, folder)
            for path in paths:
                # An artifact has no digest in MLflow, and files of one size differ: a report that names another commit.
                tag, digest = "/".join(filter(None, (FILE_DIGEST, folder, path.name))), file_sha256(path)
                if there.get(path.name) != path.stat().st_size or run.data.tags.get(tag) != digest:
                    self.client.log_artifact(run.info.run_id, str(path), folder or None)
                    self.client.set_tag(run.info.run_id, tag, digest)


def metric_points(
    run: "Run", metrics: Mapping[str, float], curves: Curves, model_id: str | None = None
) -> list["Metric"]:
    """Spell numbers, and curves by step, as MLflow takes them, at the time of the run's start."""
    from mlflow.entities import Metric

    now, of = run.info.start_time, {"model_id": model_id, "run_id": run.info.run_id}
    points = [Metric(name, value, now, 0, **of) for name, value in metrics.items()]
    return points + [Metric(name, value, now, step, **of) for name, curve in curves.items() for step, value in curve]
