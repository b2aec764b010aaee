"""A stage never waits for MLflow before its end, and MLflow has everything once its store is back."""

import time
from collections.abc import Callable
from threading import Event
from typing import Any

import pytest
import requests
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from backbench.config.running_config import TrackingConfig
from backbench.results.records import CellRecord
from backbench.results.result_files import read_cell
from backbench.runtime.errors import StoreAwayError, TrackingError
from backbench.tracking.background_tracker import BackgroundTracker
from backbench.tracking.refusals import until_back
from backbench.tracking.runs import CellRun, child_of, finished_cell
from tests.support.finished_benchmark import NUM_TRIALS, SEEDS, cells
from tests.support.mlflow_store import begun, config, table

pytestmark = pytest.mark.usefixtures("stores")
ENDLESS = 1e6


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("backbench.tracking.refusals.PAUSES_SECONDS", (0.01,))


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


def run_stage(
    record: CellRecord,
    name: str = "mlflow.db",
    *,
    patience_seconds: float = ENDLESS,
    at_the_end: Callable[[], None] = lambda: None,
) -> None:
    """Record a cell as a stage does."""
    with BackgroundTracker(config(name, patience_seconds=patience_seconds), begun(record)) as tracker:
        for finished in (*record.trials, *record.seeds):
            tracker.add(finished)
        tracker.write(finished_cell(record))
        at_the_end()


def test_a_stage_computes_to_its_end_while_the_store_is_away_and_nothing_is_lost(
    outage: Outage, capsys: pytest.CaptureFixture[str]
) -> None:
    """The store comes back only after the stage's last call: had one of them waited, it would wait for ever."""
    record = read_cell(cells()[0])
    run_stage(record, "second.db")
    assert capsys.readouterr().out == ""
    outage.gone.set()
    run_stage(record, at_the_end=outage.end)
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
    run_stage(record, patience_seconds=0.0)
    assert (
        capsys.readouterr().out.splitlines()[-1].endswith("the results are whole, and `make report` adds what it lacks")
    )
    outage.gone.clear()
    run_stage(record)
    run_stage(record, "second.db")
    assert table("mlflow.db") == table("second.db")


@pytest.mark.parametrize("interruption", [ValueError, KeyboardInterrupt])
def test_a_stage_that_fails_does_not_wait(outage: Outage, interruption: type[BaseException]) -> None:
    def fail() -> None:
        assert outage.noticed.wait(60)
        raise interruption

    outage.gone.set()
    with pytest.raises(interruption):
        run_stage(read_cell(cells()[0]), at_the_end=fail)


CELL = CellRun(key="a1", name="cell", parameters={}, tags={})


def test_what_the_store_refuses_ends_the_stage() -> None:
    seed = child_of(read_cell(cells()[0]).seeds[0])
    with (
        pytest.raises(TrackingError, match="expected sqlite:.* to take a record, found: "),
        BackgroundTracker(config(), CELL) as tracker,
    ):
        tracker.write(CellRun(key="a1", name="cell", parameters={}, tags={"": "a tag of no name"}, children=[seed]))


MISTAKES = {
    "foo://x": "unsupported URI 'foo://x'",
    "http://[bad": "expected the address of a store, found http://.bad",
    "nosuch://x:y@z/w": "nosuch",
    "postgresql://ada:hush@127.0.0.1:port/x": "expected the address",
}


@pytest.mark.parametrize("uri", MISTAKES)
def test_a_mistake_in_the_address_is_raised_at_once_in_one_line(uri: str) -> None:
    with pytest.raises(TrackingError, match=MISTAKES[uri]) as caught:
        BackgroundTracker(TrackingConfig(uri=uri, experiment="x"), CELL)
    assert not isinstance(caught.value, StoreAwayError)
    assert "\n" not in str(caught.value)
    assert "hush" not in str(caught.value)


def test_a_server_that_is_not_there_yet_does_not_end_the_stage(capsys: pytest.CaptureFixture[str]) -> None:
    away = TrackingConfig(uri="http://ada:hush-hush@127.0.0.1:9", experiment="x", patience_seconds=0.0)
    with BackgroundTracker(away, CELL) as tracker:
        tracker.add(read_cell(cells()[0]).seeds[0])
    said = capsys.readouterr()
    assert "http://***@127.0.0.1:9" in said.out
    assert "hush" not in said.out + said.err


def test_whoever_runs_out_of_patience_is_told_why() -> None:
    def fail() -> None:
        calls.append(time.monotonic())
        raise StoreAwayError("no answer")

    calls: list[float] = []
    with pytest.raises(StoreAwayError, match="no answer"):
        until_back(fail, "the store", patience_seconds=0.05)
    assert len(calls) > 2
    assert calls[-1] - calls[0] >= 0.05
