"""A real MLflow server taken away from under two stages, and brought back on the same port."""

from contextlib import ExitStack
from pathlib import Path

import pytest

from backbench.config.running_config import TrackingConfig
from backbench.results.records import CellRecord
from backbench.results.result_files import read_cell
from backbench.tracking.background_tracker import BackgroundTracker
from backbench.tracking.runs import finished_cell
from tests.faults.conftest import Tried, differing
from tests.support.engines.engine_folder import wait_until
from tests.support.engines.mlflow_server import MlflowServer
from tests.support.finished_benchmark import cells, make_finished_benchmark
from tests.support.mlflow_store import begun, runs_of, table_of


@pytest.fixture
def record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CellRecord:
    monkeypatch.chdir(tmp_path)
    make_finished_benchmark()
    return read_cell(cells()[0])


def go_on(tracker: BackgroundTracker, record: CellRecord) -> None:
    for finished in (*record.trials, *record.seeds):
        tracker.add(finished)
    tracker.write(finished_cell(record))


def test_what_stages_record_while_the_server_is_away_is_there_when_it_is_back(
    mlflow_server: MlflowServer, record: CellRecord, tried: Tried, capsys: pytest.CaptureFixture[str]
) -> None:
    undisturbed, under_way, not_begun = (
        TrackingConfig(uri=mlflow_server.address, experiment=name, patience_seconds=240.0)
        for name in ("undisturbed", "under way", "not begun")
    )
    with BackgroundTracker(undisturbed, begun(record)) as tracker:
        go_on(tracker, record)
    with ExitStack() as stages:
        first = stages.enter_context(BackgroundTracker(under_way, begun(record)))
        first.add(record.trials[0])
        wait_until(lambda: len(runs_of(under_way)) == 2, seconds=60, otherwise=mlflow_server.log.read_text)
        with mlflow_server.away():
            go_on(first, record)
            second = stages.enter_context(BackgroundTracker(not_begun, begun(record)))
            go_on(second, record)
    said = capsys.readouterr().out
    assert (said.count("the MLflow store is away"), said.count("the MLflow store is back")) == (2, 2)
    expected = {f"{above}/{name}": str(rest) for above, name, *rest in table_of(undisturbed)}
    found = [{f"{above}/{name}": str(rest) for above, name, *rest in table_of(each)} for each in (under_way, not_begun)]
    lost = [name for each in found for name in differing(expected, each)]
    how = "a real server killed under a stage, another stage begun without it; started again on the same port"
    tried("MLflow server away", how=how, times=len(found), lost=lost)
