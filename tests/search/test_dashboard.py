"""Finished studies as Optuna reads them back, and as its dashboard shows them."""

import json
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.error import URLError

import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution
from optuna.trial import TrialState

from backbench.results.result_files import read_best, read_trials
from backbench.runtime import paths
from backbench.runtime.errors import ArtifactError
from backbench.runtime.hardware import machine_name
from backbench.search.dashboard import storage_url
from backbench.stages.dashboard import dashboard
from tests.support.chromium import visit
from tests.support.configs import PROJECT
from tests.support.finished_benchmark import BACKBONES, cells, make_finished_benchmark

PATIENCE_SECONDS = 60


@pytest.fixture(autouse=True)
def in_a_finished_benchmark(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    make_finished_benchmark()


def study(name: str) -> optuna.Study:
    return optuna.load_study(study_name=name, storage=storage_url(paths.DASHBOARD))


def test_every_cell_is_a_study_with_every_trial_as_it_was_found() -> None:
    line = dashboard(cells())
    assert line == f"4 studies; open them: optuna-dashboard {storage_url(paths.DASHBOARD)}"
    assert optuna.get_all_study_names(storage_url(paths.DASHBOARD)) == [str(cell) for cell in cells()]
    for cell in cells():
        found = study(str(cell))
        assert found.direction.name == "MINIMIZE"
        assert found.metric_names == ["val_loss"]
        assert found.user_attrs["chosen trial"] == read_best(cell).choice.trial
        for trial, record in zip(found.trials, read_trials(cell), strict=True):
            assert trial.number == record.index
            assert trial.state == TrialState[record.state]
            assert trial.value == record.val_loss
            assert trial.params["learning_rate"] == record.learning_rate
            assert trial.user_attrs == {
                "val_accuracy": record.val_accuracy,
                "epochs": record.epochs,
                "boundary": record.boundary,
                **({"reason": record.reason} if record.reason else {}),
            }
            assert trial.intermediate_values == {epoch.epoch: epoch.val_loss for epoch in record.history}


def test_parameters_are_drawn_as_the_search_draws_them() -> None:
    dashboard(cells()[:1])
    trial = study(str(cells()[0])).trials[0]
    assert trial.distributions == {
        "learning_rate": FloatDistribution(1e-4, 1e-1, log=True),
        "weight_decay": FloatDistribution(1e-5, 1e-1, log=True),
        "boundary": CategoricalDistribution(("output",)),
    }


def test_pruned_trials_are_shown_and_are_never_the_best() -> None:
    dashboard(cells()[:1])
    found = study(str(cells()[0]))
    assert [trial.state.name for trial in found.trials] == ["COMPLETE"] * 3 + ["PRUNED"]
    assert found.best_trial.state == TrialState.COMPLETE


def test_a_second_call_starts_anew_and_a_failed_one_leaves_the_last() -> None:
    dashboard(cells())
    dashboard(cells()[:2])
    assert len(optuna.get_all_study_names(storage_url(paths.DASHBOARD))) == 2
    cells()[1].trials.unlink()
    with pytest.raises(ArtifactError, match=r"expected results/cells/resnet50_slim/fine_tuning/trials\.csv"):
        dashboard(cells())
    assert len(optuna.get_all_study_names(storage_url(paths.DASHBOARD))) == 2


def test_the_command_writes_them_and_what_it_took_on_which_machine() -> None:
    command = [sys.executable, str(PROJECT / "pipelines/dashboard.py"), f"benchmark.backbones=[{','.join(BACKBONES)}]"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1].startswith("4 studies; open them: optuna-dashboard sqlite:///")
    spent = json.loads(paths.timing("dashboard").read_text(encoding="utf-8"))
    assert spent["wall_seconds"] >= 0
    assert spent["peak_memory_bytes"] > 1 << 20
    assert spent["machine"] == machine_name()


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


@contextmanager
def served() -> Iterator[str]:
    """Run optuna-dashboard as `make dashboard` does, and yield its address."""
    port = free_port()
    program = [str(Path(sys.executable).with_name("optuna-dashboard")), "--server", "wsgiref", "--port", str(port)]
    server = subprocess.Popen([*program, storage_url(paths.DASHBOARD)], stderr=subprocess.DEVNULL)
    address, end = f"http://127.0.0.1:{port}", time.monotonic() + PATIENCE_SECONDS
    try:
        while True:
            try:
                urllib.request.urlopen(f"{address}/api/studies", timeout=PATIENCE_SECONDS).close()
                break
            except URLError:
                assert time.monotonic() < end
                time.sleep(0.2)
        yield address
    finally:
        server.terminate()
        server.wait(PATIENCE_SECONDS)


@pytest.mark.browser
def test_the_dashboard_shows_every_study_and_asks_nobody_else() -> None:
    dashboard(cells())
    with visit() as visited, served() as address:
        visited.page.goto(f"{address}/dashboard")
        for cell in cells():
            visited.page.get_by_text(str(cell), exact=False).first.wait_for(timeout=1000 * PATIENCE_SECONDS)
        assert visited.hosts == {address.removeprefix("http://")}
