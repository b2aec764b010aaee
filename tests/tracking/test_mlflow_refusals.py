"""Servers that people have: what one lacks or withholds is one line, and what can go on without it does."""

import os
from pathlib import Path

import pytest

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
import requests
from mlflow.exceptions import MlflowException, RestException
from mlflow.tracking import MlflowClient

from backbench.config.config import TrackingConfig
from backbench.runtime.errors import StoreAwayError, TrackingError
from backbench.tracking.mlflow_outage import is_away
from backbench.tracking.mlflow_refusals import is_lacking, is_withheld, unreachable_artifacts
from backbench.tracking.tracking import Tracker
from tests.support.engines.mlflow_proxy import PAGE, Refusal, in_front_of, json_refusal
from tests.support.engines.mlflow_server import MlflowServer
from tests.support.finished_benchmark import cells
from tests.tracking.test_publishing import make_benchmark_without_a_store, publish

EVERYTHING = "/api/"


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("backbench.tracking.mlflow_connection.RETRY_SECONDS", 0.0)


def said(status: int, body: str = "no") -> MlflowException:
    """As MLflow's client tells an answer that is no JSON."""
    return MlflowException(
        f"API request to endpoint /x failed with error code {status} != 200. Response body: '{body}'"
    )


def rest(error_code: str, message: str = "no") -> RestException:
    return RestException({"error_code": error_code, "message": message})


def of_artifacts(status: int) -> Exception:
    response = requests.Response()
    response.status_code = status
    return requests.exceptions.HTTPError(f"{status} Client Error for url: http://x/mlflow-artifacts", response=response)


@pytest.mark.parametrize(
    ("error", "lacking", "withheld"),
    [
        (said(404, PAGE.decode()), True, True),
        (said(405), True, True),
        (said(501), True, True),
        (rest("ENDPOINT_NOT_FOUND"), True, True),
        (rest("NOT_IMPLEMENTED"), True, True),
        (rest("FEATURE_DISABLED"), True, True),
        (rest("INTERNAL_ERROR", "LoggedModels are not supported in this workspace"), True, True),
        (NotImplementedError(), True, True),
        (of_artifacts(405), True, True),
        (said(403), False, True),
        (rest("PERMISSION_DENIED"), False, True),
        (rest("RESOURCE_DOES_NOT_EXIST", "Run 'a' not found"), False, False),
        (rest("INVALID_PARAMETER_VALUE"), False, False),
        (said(401), False, False),
        (of_artifacts(404), False, False),
        (MlflowException("Registry not supported by hand"), False, False),
    ],
    ids=str,
)
def test_what_a_server_lacks_or_withholds_is_known_and_not_waited_for(
    error: Exception, lacking: bool, withheld: bool
) -> None:
    assert (is_lacking(error), is_withheld(error)) == (lacking, withheld)
    assert not is_away(error)


@pytest.mark.parametrize(
    ("uri", "location", "closed"),
    [
        ("http://u:hush@host:5000", "/no/such/place/1", True),
        ("https://host", "file:///no/such/place/1", True),
        ("http://host:5000", "mlflow-artifacts:/1", False),
        ("http://host:5000", "s3://bucket/1", False),
        ("sqlite:///mlflow.db", "/no/such/place/1", False),
        ("http://host:5000", "{shared}/1", False),
    ],
)
def test_a_path_of_the_servers_own_is_refused_unless_this_machine_has_it(
    uri: str, location: str, closed: bool, tmp_path: Path
) -> None:
    refusal = unreachable_artifacts(uri, location.format(shared=tmp_path))
    assert (refusal is not None) is closed
    if refusal is not None:
        assert "--serve-artifacts" in refusal
        assert "hush" not in refusal


REFUSED = {
    "no name and password": (EVERYTHING, Refusal(401, b"You are not authenticated"), "set MLFLOW_TRACKING_USERNAME"),
    "a reader": ("POST .*create", Refusal(403, b"Permission denied"), "ask whoever runs the server for leave to write"),
    "another host": (
        EVERYTHING,
        Refusal(403, b"Invalid Host header - possible DNS rebinding attack detected"),
        "--allowed-hosts 127.0.0.1:",
    ),
    "no MLflow": (EVERYTHING, Refusal(404), "check that MLFLOW_TRACKING_URI is the address of an MLflow server"),
    "no batches": ("POST .*log-batch", Refusal(400, json_refusal("INVALID_PARAMETER_VALUE", "too long")), "too long"),
}


@pytest.mark.mlflow_server
@pytest.mark.parametrize("what", REFUSED)
def test_what_nothing_works_without_is_one_line_that_says_what_to_do(
    what: str, mlflow_server: MlflowServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    pattern, refusal, advised = REFUSED[what]
    with in_front_of(mlflow_server.address, {pattern: refusal}) as proxy:
        address = proxy.address.replace("//", "//ada:hush-hush@")
        with pytest.raises(TrackingError) as caught:
            Tracker(TrackingConfig(uri=address, experiment=what)).begin_cell("a1", "cell", {"a": 1}, {})
    assert advised in str(caught.value)
    assert not isinstance(caught.value, StoreAwayError)
    assert "\n" not in str(caught.value)
    assert "<" not in str(caught.value)
    assert "hush" not in str(caught.value)


WITHHELD: dict[str, tuple[dict[str, Refusal], list[str]]] = {
    # A server of MLflow 2.
    "models": ({"/logged-models": Refusal(404)}, ["models"]),
    "the rest": (
        {
            "/registered-models|/model-versions": Refusal(403, b"Permission denied"),
            "experiments/set-experiment-tag": Refusal(405, b"no"),
            "runs/log-inputs": Refusal(501, json_refusal("NOT_IMPLEMENTED")),
            "runs/delete-tag": Refusal(404, json_refusal("ENDPOINT_NOT_FOUND")),
        },
        ["the data sets of runs", "the registered model", "the note of the MLflow experiment"],
    ),
}


@pytest.mark.mlflow_server
@pytest.mark.parametrize("what", WITHHELD)
def test_the_rest_is_published_where_a_server_withholds_a_part(
    what: str,
    mlflow_server: MlflowServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    make_benchmark_without_a_store(tmp_path)
    monkeypatch.chdir(tmp_path)
    refusals, without = WITHHELD[what]
    with in_front_of(mlflow_server.address, refusals) as proxy:
        publish(TrackingConfig(uri=proxy.address.replace("//", "//ada:hush-hush@"), experiment=f"without {what}"))
    told = capfd.readouterr()
    lines = told.out.splitlines()
    assert [line.split("going on without ")[1].split(".")[0].split(":")[0] for line in lines] == without
    assert "hush" not in told.out + told.err
    client = MlflowClient(tracking_uri=mlflow_server.address)
    experiment = client.get_experiment_by_name(f"without {what}")
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id])
    assert {run.info.status for run in runs} == {"FINISHED"}
    kinds = [run.data.tags["backbench.kind"] for run in runs]
    assert (kinds.count("cell"), kinds.count("comparison")) == (len(cells()), 1)
    assert all("mlflow.note.content" in run.data.tags for run in runs if run.data.tags["backbench.kind"] == "cell")
    assert len(client.search_logged_models([experiment.experiment_id])) == (0 if what == "models" else len(cells()))
    for batch in proxy.batches:
        assert_within_limits(batch)


def assert_within_limits(batch: dict[str, list[dict[str, str]]]) -> None:
    """The limits of MLflow 2's REST API, and of Databricks, which MLflow 3 only raised."""
    params, metrics, tags = (batch.get(kind, []) for kind in ("params", "metrics", "tags"))
    assert len(params) <= 100
    assert len(tags) <= 100
    assert len(params) + len(metrics) + len(tags) <= 1000
    assert max((len(each["value"]) for each in params), default=0) <= 500
    assert max((len(each["value"]) for each in tags), default=0) <= 5000
    assert max((len(each["key"]) for each in (*params, *tags, *metrics)), default=0) <= 250
