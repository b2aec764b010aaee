"""One MLflow experiment, opened, and what every writer of it shares: searching, logging, and a second try."""

import logging
import os
import time
from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from typing import TYPE_CHECKING, Concatenate, ParamSpec, Protocol, TypeVar

from backbench.compat.mlflow_stores import create_store
from backbench.config.config import TrackingConfig
from backbench.runtime.errors import StoreAwayError, StoreWithholdsError, TrackingError
from backbench.runtime.web_address import without_secrets
from backbench.tracking.mlflow_outage import is_away, store_errors
from backbench.tracking.mlflow_refusals import advice, is_lacking, is_withheld, reason, unreachable_artifacts
from backbench.tracking.mlflow_store import artifact_folder, sqlite_file

if TYPE_CHECKING:
    from mlflow.entities import Metric, Run
    from mlflow.tracking import MlflowClient

METRICS_PER_BATCH = 800
PARAMETERS_PER_BATCH = 100
MAX_RUNS = 50_000
RETRY_SECONDS = 1.0
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


class Writer(Protocol):
    """Whatever writes to MLflow."""

    @property
    def uri_shown(self) -> str:
        """The store's address, without secrets."""
        ...


Self = TypeVar("Self", bound=Writer)
Arguments = ParamSpec("Arguments")
Returned = TypeVar("Returned")


def repeated_once(
    method: Callable[Concatenate[Self, Arguments], Returned],
) -> Callable[Concatenate[Self, Arguments], Returned]:
    """Call again after a failure, since MLflow may raise though it stored; the second failure is the user's to see."""

    @wraps(method)
    def repeated(writer: Self, /, *args: Arguments.args, **kwargs: Arguments.kwargs) -> Returned:
        failures = store_errors()
        try:
            return method(writer, *args, **kwargs)
        except failures:
            time.sleep(RETRY_SECONDS)
        try:
            return method(writer, *args, **kwargs)
        except failures as error:
            raise _kind(error)(
                f"MLflow: expected {writer.uri_shown} to take a record, found: {reason(error)}; "
                f"{advice(error, writer.uri_shown)}"
            ) from error

    return repeated


def _kind(error: BaseException) -> type[TrackingError]:
    if is_away(error):
        return StoreAwayError
    return StoreWithholdsError if is_withheld(error) else TrackingError


class Connection:
    """A client and the id of the MLflow experiment that the configuration names."""

    def __init__(self, config: TrackingConfig) -> None:
        """Open the store, creating it and the MLflow experiment where they lack.

        Args:
            config: The environment variable MLFLOW_TRACKING_URI wins over `config.uri`.

        Raises:
            StoreAwayError: the store cannot be reached now.
            TrackingError: the address is wrong, its driver is not installed, or the MLflow experiment is deleted.
        """
        for name, value in SETTINGS.items():
            os.environ.setdefault(name, value)
        for logger in TALKATIVE:
            logging.getLogger(logger).setLevel(logging.CRITICAL)
        self.uri = os.environ.get("MLFLOW_TRACKING_URI") or config.uri
        self.experiment = config.experiment
        self.uri_shown = without_secrets(self.uri)
        self._takes_datasets = True
        self.client, self.experiment_id = self._opened()
        self._check_artifacts()

    @repeated_once
    def _opened(self) -> tuple["MlflowClient", str]:
        from mlflow.tracking import MlflowClient

        file = sqlite_file(self.uri)
        if file is not None:
            create_store(file, artifact_folder(file))
        try:
            client = MlflowClient(tracking_uri=self.uri)
        except ImportError as error:
            raise TrackingError(f"MLflow: {self.uri_shown} needs {error.name}, found none; pip install it") from error
        except ValueError as error:
            raise TrackingError(
                f"MLflow: expected the address of a store, found {self.uri_shown}: {error}; "
                "correct MLFLOW_TRACKING_URI or conf/tracking"
            ) from error
        found = client.get_experiment_by_name(self.experiment)
        if found is None:
            folder = None if file is None else str(artifact_folder(file))
            return client, str(client.create_experiment(self.experiment, artifact_location=folder))
        if found.lifecycle_stage != "active":
            raise TrackingError(
                f"MLflow: expected the MLflow experiment {self.experiment} to be active, found it deleted; "
                "restore it, or name another in conf/tracking"
            )
        return client, str(found.experiment_id)

    @repeated_once
    def _check_artifacts(self) -> None:
        """Refuse a store whose artifacts cannot be written to from here, before anything is computed."""
        location = self.client.get_experiment(self.experiment_id).artifact_location
        refusal = unreachable_artifacts(self.uri, location)
        if refusal is not None:
            raise TrackingError(f"MLflow: {refusal}")

    def search(self, **tags: str) -> list["Run"]:
        """Return the runs of these values of `backbench.` tags, latest first."""
        return self.search_where(" and ".join(f"tags.`backbench.{name}` = '{value}'" for name, value in tags.items()))

    def search_where(self, condition: str) -> list["Run"]:
        """Return the runs of this experiment that meet a condition in MLflow's own words, latest first."""
        return list(self.client.search_runs([self.experiment_id], condition, max_results=MAX_RUNS))

    def log(
        self,
        run: "Run",
        *,
        parameters: Mapping[str, str] | None = None,
        metrics: Mapping[str, float] | None = None,
        curves: Mapping[str, Sequence[tuple[int, float]]] | None = None,
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

    def log_dataset(self, run: "Run", dataset: Mapping[str, str] | None) -> None:
        """Name the data set of a run, as `runs.dataset_input` spells it, where the store keeps such names."""
        from mlflow.entities import Dataset, DatasetInput, InputTag

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


def metric_points(
    run: "Run",
    metrics: Mapping[str, float],
    curves: Mapping[str, Sequence[tuple[int, float]]],
    model_id: str | None = None,
) -> list["Metric"]:
    """Spell numbers, and curves by step, as MLflow takes them, at the time of the run's start."""
    from mlflow.entities import Metric

    now, of = run.info.start_time, {"model_id": model_id, "run_id": run.info.run_id}
    points = [Metric(name, value, now, 0, **of) for name, value in metrics.items()]
    return points + [Metric(name, value, now, step, **of) for name, curve in curves.items() for step, value in curve]
