"""What holds for every test, and how tests are shared out between processes."""

import gc
import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")

import pytest

from tests.support.configs import PROJECT

pytest_plugins = ["tests.support.engines.fixtures"]

# What `make test` leaves to `make test-system`.
SYSTEM_FOLDERS = ("bench", "engines", "faults", "pretraining")
SYSTEM_MARKERS = ("browser", "mlflow_server", "postgresql", "slurm")


@pytest.fixture(autouse=True)
def _no_tracking_server(monkeypatch: pytest.MonkeyPatch) -> None:
    """A developer's own MLflow server must not see the tests."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--part", help="run one part of the tests, such as 2/12: a backbone's tests stay together")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    _mark_system(items)
    if hasattr(config, "workerinput"):
        _keep_together(items)
    asked = config.getoption("--part")
    if asked is not None:
        _keep_part(config, items, asked)


def pytest_collection_finish() -> None:
    """Leave what was imported out of every later garbage collection: each fit asks for one."""
    gc.collect()
    gc.freeze()


def _mark_system(items: list[pytest.Item]) -> None:
    """Mark what starts an engine, a browser or a whole benchmark; a file or a backbone may mark itself, too."""
    for item in items:
        lies_in = item.path.relative_to(PROJECT / "tests").parts[0]
        if lies_in in SYSTEM_FOLDERS or any(map(item.get_closest_marker, SYSTEM_MARKERS)):
            item.add_marker(pytest.mark.system)


def _keep_together(items: list[pytest.Item]) -> None:
    """Say what one process runs alone under `--dist loadgroup`: all that share the one SLURM, else a file's tests.

    Of the contract of backbones, it is a backbone's tests: they share its graph.
    """
    for item in items:
        file = item.path.relative_to(PROJECT).as_posix()
        group = "slurm" if item.get_closest_marker("slurm") else f"{file} {_backbone_of(item)}"
        item.add_marker(pytest.mark.xdist_group(group))


def _keep_part(config: pytest.Config, items: list[pytest.Item], asked: str) -> None:
    """Keep one part: the contract of every n-th backbone; tests of no backbone are all in the first."""
    part, num_parts = map(int, asked.split("/"))
    backbones = sorted({name for item in items if (name := _backbone_of(item))})
    of_item = {name: place % num_parts for place, name in enumerate(backbones)}
    chosen = [item for item in items if of_item.get(_backbone_of(item), 0) == part - 1]
    config.hook.pytest_deselected(items=[item for item in items if item not in set(chosen)])
    items[:] = chosen


def _backbone_of(item: pytest.Item) -> str:
    callspec = getattr(item, "callspec", None)
    return str(callspec.params.get("built", "")) if callspec else ""
