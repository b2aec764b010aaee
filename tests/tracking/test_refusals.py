"""Servers that people have: what one lacks or withholds is one line, and what can go on without it does."""

from pathlib import Path

import pytest
import requests
from mlflow.exceptions import MlflowException, RestException
from mlflow.tracking import MlflowClient
from sqlalchemy.exc import OperationalError

from backbench.config.running_config import TrackingConfig
from backbench.runtime.errors import StoreAwayError, TrackingError
from backbench.tracking.background_tracker import BackgroundTracker
from backbench.tracking.refusals import is_lacking, is_withheld, may_pass
from backbench.tracking.runs import CellRun
from tests.support.engines.mlflow_proxy import PAGE, Refusal, in_front_of, json_refusal
from tests.support.engines.mlflow_server import MlflowServer
from tests.support.finished_benchmark import cells
from tests.support.mlflow_store import make_benchmark_without_a_store, publish, runs_of

EVERYTHING = "/api/"
CELL = CellRun(key="a1", name="cell", parameters={"a": 1}, tags={})


def said(status: int, body: str = "no") -> MlflowException:
    """As MLflow's client tells an answer that is no JSON."""
    return MlflowException(
        f"API request to endpoint /x failed with error code {status} != 200. Response body: '{body}'"
    )


def rest(error_code: str, message: str = "no") -> RestException:
    return RestException({"error_code": error_code, "message": message})


def answered(status: int) -> Exception:
    """As MLflow's client raises what a store of artifacts answers."""
    response = requests.Response()
    response.status_code = status
    return requests.exceptions.HTTPError(f"{status} Client Error for url: http://x/mlflow-artifacts", response=response)


def caused_by(cause: Exception) -> Exception:
    error = MlflowException("failed")
    error.__cause__ = cause
    return error


def database(said: str) -> Exception:
    return caused_by(OperationalError("INSERT", {}, Exception(said)))


@pytest.mark.parametrize(
    ("meaning", "errors"),
    {
        "lacking": [
            *(said(404, PAGE.decode()), said(405), said(501), answered(405), NotImplementedError()),
            *(rest("ENDPOINT_NOT_FOUND"), rest("NOT_IMPLEMENTED"), rest("FEATURE_DISABLED")),
            rest("INTERNAL_ERROR", "LoggedModels are not supported in this workspace"),
        ],
        "withheld": [said(403), rest("PERMISSION_DENIED"), answered(403)],
        "away": [
            *(said(502), answered(502), answered(429), rest("INTERNAL_ERROR", "database")),
            caused_by(requests.exceptions.ConnectTimeout()),
            caused_by(requests.exceptions.RetryError("too many 503 error responses")),
            database("database is locked"),
            database("server closed the connection unexpectedly"),
        ],
        "refused": [
            *(said(401), answered(404), rest("INVALID_PARAMETER_VALUE")),
            rest("RESOURCE_DOES_NOT_EXIST", "Run 'a' not found"),
            MlflowException("Registry not supported by hand"),
            MlflowException("Detected out-of-date database schema"),
            caused_by(requests.exceptions.SSLError("certificate verify failed")),
            caused_by(requests.exceptions.InvalidSchema("no adapter")),
            database("database or disk is full"),
            database('password authentication failed for user "ada"'),
        ],
    }.items(),
)
def test_what_is_lacking_is_done_without_and_only_what_time_may_heal_is_waited_for(
    meaning: str, errors: list[Exception]
) -> None:
    found = {str(error): (is_lacking(error), is_withheld(error), may_pass(error)) for error in errors}
    means = (meaning == "lacking", meaning in ("lacking", "withheld"), meaning == "away")
    assert found == dict.fromkeys(map(str, errors), means)


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
def test_what_nothing_works_without_ends_a_stage_at_its_start_with_a_line_that_says_what_to_do(
    what: str, mlflow_server: MlflowServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    pattern, refusal, advised = REFUSED[what]
    with in_front_of(mlflow_server.address, {pattern: refusal}) as proxy:
        address = proxy.address.replace("//", "//ada:hush-hush@")
        with pytest.raises(TrackingError) as caught:
            BackgroundTracker(TrackingConfig(uri=address, experiment=what), CELL)
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
    runs = runs_of(TrackingConfig(uri=mlflow_server.address, experiment=f"without {what}"))
    assert {run.info.status for run in runs} == {"FINISHED"}
    kinds = [run.data.tags["backbench.kind"] for run in runs]
    assert (kinds.count("cell"), kinds.count("comparison")) == (len(cells()), 1)
    assert all("mlflow.note.content" in run.data.tags for run in runs if run.data.tags["backbench.kind"] == "cell")
    assert len(client.search_logged_models([runs[0].info.experiment_id])) == (0 if what == "models" else len(cells()))
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
