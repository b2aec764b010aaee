"""Real engines, each started when a test first asks for it and ended with the test run."""

from collections.abc import Iterator

import pytest

from tests.support.engines.mlflow_server import MlflowServer, running_mlflow_server
from tests.support.engines.postgresql import Postgresql, running_postgresql
from tests.support.engines.slurm import Slurm, running_slurm


@pytest.fixture(scope="session")
def postgresql() -> Iterator[Postgresql]:
    """A PostgreSQL; a test creates a database of its own."""
    with running_postgresql() as server:
        yield server


@pytest.fixture(scope="session")
def mlflow_server() -> Iterator[MlflowServer]:
    """An MLflow server on an SQLite file; a test writes to an MLflow experiment of its own."""
    with running_mlflow_server() as server:
        yield server


@pytest.fixture(scope="session")
def slurm() -> Iterator[Slurm]:
    """A SLURM; a test leaves no job of its own behind."""
    with running_slurm() as cluster:
        yield cluster
