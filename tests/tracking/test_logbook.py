"""A logbook never makes its stage wait, and MLflow has everything once its store is back."""

import os
import time
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from threading import Event
from typing import Any

import pytest

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
import requests
from mlflow.exceptions import MlflowException, RestException
from mlflow.tracking import MlflowClient
from sqlalchemy.exc import OperationalError

from backbench.config.config import TrackingConfig
from backbench.results.records import CellRecord
from backbench.results.result_files import read_cell
from backbench.runtime.errors import StoreAwayError, TrackingError
from backbench.tracking.logbook import Logbook
from backbench.tracking.mlflow_outage import is_away, patience, until_back
from backbench.tracking.runs import cell_parameters
from tests.support.finished_benchmark import NUM_TRIALS, SEEDS, cells, fresh_store, make_finished_benchmark
from tests.tracking.test_tracking import config, table

ENDLESS = 1e6


@pytest.fixture(autouse=True)
def in_a_finished_benchmark(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("backbench.tracking.mlflow_connection.RETRY_SECONDS", 0.0)
    monkeypatch.setattr("backbench.tracking.mlflow_outage.PAUSES_SECONDS", (0.01,))
    make_finished_benchmark()
    for name in ("mlflow.db", "second.db"):
        Path(name).write_bytes(fresh_store())


class Outage:
    """While `gone` is set, the store gets no numbers: what was begun is left half written."""

    def __init__(self) -> None:
        self.gone, self.noticed = Event(), Event()
        self._num_failures = 0

    def fail(self) -> None:
        self._num_failures += 1
        if self._num_failures == 2:  # the first is repeated at once
            self.noticed.set()
        raise MlflowException("no answer") from requests.exceptions.ConnectionError("refused")

    def end(self) -> None:
        """Come back, but not before somebody has called in vain."""
        assert self.noticed.wait(60)
        self.gone.clear()


@pytest.fixture
def outage(monkeypatch: pytest.MonkeyPatch) -> Outage:
    outage, log_batch = Outage(), MlflowClient.log_batch

    def log_batch_or_fail(self: MlflowClient, *arguments: Any, **options: Any) -> None:
        if outage.gone.is_set():
            outage.fail()
        log_batch(self, *arguments, **options)

    monkeypatch.setattr(MlflowClient, "log_batch", log_batch_or_fail)
    return outage


def tracking(name: str, *, patience_seconds: float = ENDLESS) -> TrackingConfig:
    return TrackingConfig(uri=config(name).uri, experiment="synthetic", patience_seconds=patience_seconds)


def run_stage(record: CellRecord, tracking: TrackingConfig, *, at_the_end: Callable[[], None] = lambda: None) -> None:
    """Record a cell as a stage does."""
    best = record.best
    with Logbook(tracking) as logbook:
        parameters = cell_parameters(best.configuration, best.digests)
        parent = logbook.begin_cell(best.cell_key, str(record.cell), parameters, {})
        for trial in record.trials:
            logbook.log_trial(parent, trial.index, trial.parameters, trial.metrics, trial.history)
        for seed in record.seeds:
            logbook.log_seed(parent, seed.seed, seed.metrics, seed.history)
        logbook.publish(record)
        at_the_end()


def test_a_stage_computes_to_its_end_while_the_store_is_away_and_nothing_is_lost(
    outage: Outage, capsys: pytest.CaptureFixture[str]
) -> None:
    """The store comes back only after the stage's last call: had one of them waited, it would wait for ever."""
    record = read_cell(cells()[0])
    run_stage(record, tracking("second.db"))
    assert capsys.readouterr().out == ""
    outage.gone.set()
    run_stage(record, tracking("mlflow.db"), at_the_end=outage.end)
    assert len(table("mlflow.db")) == 1 + NUM_TRIALS + len(SEEDS)
    assert table("mlflow.db") == table("second.db")
    went, came = capsys.readouterr().out.splitlines()
    assert went.startswith("the MLflow store is away; trying again now and then. MLflow: expected sqlite:///")
    assert came == "the MLflow store is back"


def test_a_stage_whose_store_stays_away_ends_well_and_says_what_adds_the_rest(
    outage: Outage, capsys: pytest.CaptureFixture[str]
) -> None:
    record = read_cell(cells()[0])
    outage.gone.set()
    run_stage(record, tracking("mlflow.db", patience_seconds=0.0))
    assert (
        capsys.readouterr().out.splitlines()[-1].endswith("the results are whole, and `make report` adds what it lacks")
    )
    outage.gone.clear()
    run_stage(record, tracking("mlflow.db"))
    run_stage(record, tracking("second.db"))
    assert table("mlflow.db") == table("second.db")


@pytest.mark.parametrize("interruption", [ValueError, KeyboardInterrupt])
def test_a_stage_that_fails_does_not_wait(outage: Outage, interruption: type[BaseException]) -> None:
    def fail() -> None:
        assert outage.noticed.wait(60)
        raise interruption

    outage.gone.set()
    with pytest.raises(interruption):
        run_stage(read_cell(cells()[0]), tracking("mlflow.db"), at_the_end=fail)


def test_what_the_store_refuses_ends_the_stage() -> None:
    nobody: Future[str] = Future()
    nobody.set_result("no such run")
    with pytest.raises(TrackingError, match="no such run"), Logbook(tracking("mlflow.db")) as logbook:
        logbook.log_trial(nobody, 0, {}, {}, ())


MISTAKES = {
    "foo://x": "unsupported URI 'foo://x'",
    "http://[bad": "expected the address of a store, found http://.bad",
    "nosuch://x:y@z/w": "nosuch",
    "postgresql://ada:hush@127.0.0.1:port/x": "expected the address",
}


@pytest.mark.parametrize("uri", MISTAKES)
def test_a_mistake_in_the_address_is_raised_at_once_in_one_line(uri: str) -> None:
    with pytest.raises(TrackingError, match=MISTAKES[uri]) as caught:
        Logbook(TrackingConfig(uri=uri, experiment="x"))
    assert not isinstance(caught.value, StoreAwayError)
    assert "\n" not in str(caught.value)
    assert "hush" not in str(caught.value)


def test_a_server_that_is_not_there_yet_does_not_end_the_stage(capsys: pytest.CaptureFixture[str]) -> None:
    away = TrackingConfig(uri="http://ada:hush-hush@127.0.0.1:9", experiment="x", patience_seconds=0.0)
    run_stage(read_cell(cells()[0]), away)
    said = capsys.readouterr()
    assert "http://***@127.0.0.1:9" in said.out
    assert "hush" not in said.out + said.err


def caused_by(cause: Exception) -> Exception:
    error = MlflowException("failed")
    error.__cause__ = cause
    return error


def database(said: str) -> Exception:
    return caused_by(OperationalError("INSERT", {}, Exception(said)))


def answered(status: int) -> Exception:
    response = requests.Response()
    response.status_code = status
    return requests.exceptions.HTTPError(response=response)


@pytest.mark.parametrize(
    ("error", "away"),
    [
        (caused_by(requests.exceptions.ConnectTimeout()), True),
        (caused_by(requests.exceptions.RetryError("too many 503 error responses")), True),
        (caused_by(requests.exceptions.SSLError("certificate verify failed")), False),
        (caused_by(requests.exceptions.InvalidSchema("no adapter")), False),
        (answered(502), True),
        (answered(403), False),
        (RestException({"error_code": "INTERNAL_ERROR", "message": "database"}), True),
        (RestException({"error_code": "INVALID_PARAMETER_VALUE", "message": "no"}), False),
        (database("database is locked"), True),
        (database("server closed the connection unexpectedly"), True),
        (database("database or disk is full"), False),
        (database('password authentication failed for user "ada"'), False),
        (MlflowException("Detected out-of-date database schema"), False),
    ],
    ids=str,
)
def test_only_what_time_may_heal_is_called_away(error: Exception, away: bool) -> None:
    assert is_away(error) is away


def test_whoever_runs_out_of_patience_is_told_why() -> None:
    def fail() -> None:
        calls.append(time.monotonic())
        raise StoreAwayError("no answer")

    calls: list[float] = []
    with pytest.raises(StoreAwayError, match="no answer"):
        until_back(fail, patience(0.05))
    assert len(calls) > 2
    assert calls[-1] - calls[0] >= 0.05
