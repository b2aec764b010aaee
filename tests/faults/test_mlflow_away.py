"""A real MLflow server taken away from under two stages, and brought back on the same port."""

from concurrent.futures import Future
from contextlib import ExitStack
from pathlib import Path

import pytest

from backbench.config.config import TrackingConfig
from backbench.results.records import CellRecord
from backbench.results.result_files import read_cell
from backbench.tracking.logbook import Logbook
from backbench.tracking.runs import cell_parameters
from tests.faults.conftest import Tried, differing
from tests.support.engines.mlflow_server import MlflowServer
from tests.support.finished_benchmark import cells, make_finished_benchmark
from tests.tracking.test_tracking import table_of


@pytest.fixture
def record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CellRecord:
    monkeypatch.chdir(tmp_path)
    make_finished_benchmark()
    return read_cell(cells()[0])


def begin(logbook: Logbook, record: CellRecord) -> Future[str]:
    best = record.best
    parameters = cell_parameters(best.configuration, best.digests)
    parent = logbook.begin_cell(best.cell_key, str(record.cell), parameters, {})
    first, *_ = record.trials
    logbook.log_trial(parent, first.index, first.parameters, first.metrics, first.history)
    return parent


def go_on(logbook: Logbook, record: CellRecord, parent: Future[str]) -> None:
    for trial in record.trials:
        logbook.log_trial(parent, trial.index, trial.parameters, trial.metrics, trial.history)
    for seed in record.seeds:
        logbook.log_seed(parent, seed.seed, seed.metrics, seed.history)
    logbook.publish(record)


def test_what_stages_record_while_the_server_is_away_is_there_when_it_is_back(
    mlflow_server: MlflowServer, record: CellRecord, tried: Tried, capsys: pytest.CaptureFixture[str]
) -> None:
    undisturbed, under_way, not_begun = (
        TrackingConfig(uri=mlflow_server.address, experiment=name, patience_seconds=240.0)
        for name in ("undisturbed", "under way", "not begun")
    )
    with Logbook(undisturbed) as logbook:
        go_on(logbook, record, begin(logbook, record))
    with ExitStack() as stages:
        first = stages.enter_context(Logbook(under_way))
        parent = begin(first, record)
        parent.result(timeout=60)
        with mlflow_server.away():
            go_on(first, record, parent)
            second = stages.enter_context(Logbook(not_begun))
            go_on(second, record, begin(second, record))
    said = capsys.readouterr().out
    assert (said.count("the MLflow store is away"), said.count("the MLflow store is back")) == (2, 2)
    expected = {f"{above}/{name}": str(rest) for above, name, *rest in table_of(undisturbed)}
    found = [{f"{above}/{name}": str(rest) for above, name, *rest in table_of(each)} for each in (under_way, not_begun)]
    lost = [name for each in found for name in differing(expected, each)]
    how = "a real server killed under a stage, another stage begun without it; started again on the same port"
    tried("MLflow server away", how=how, times=len(found), lost=lost)
