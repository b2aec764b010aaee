"""A real MLflow server on the loopback device, which tests may take away for a while."""

import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.engines.engine_folder import EngineFolder, end_processes, engine_folder, free_port, wait_until

# On an empty database the server makes its tables first; a busy machine or a slow disk needs a minute for that.
STARTS_IN_SECONDS = 240.0


class MlflowServer:
    """A server of one process that keeps runs in a given store, and artifacts beside its own log."""

    def __init__(self, folder: EngineFolder, store: str, artifacts: Path) -> None:
        self._folder = folder
        self._artifacts = artifacts
        self._environment = {
            # Not on the command line: every user of a machine can read those, and so a password.
            "MLFLOW_BACKEND_STORE_URI": store,
            "MLFLOW_DISABLE_TELEMETRY": "true",
            # Eight more processes, for language models' jobs, that take longer to start than the server.
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        }
        self._process: subprocess.Popen[bytes] | None = None
        self._port = free_port()
        self.address = f"http://127.0.0.1:{self._port}"

    @property
    def log(self) -> Path:
        """The file of what the server said."""
        return self._folder.log_file("mlflow")

    def start(self) -> None:
        """Start the server, on the same port and store as before, and wait until it answers."""
        words = ["--host", "127.0.0.1", "--port", str(self._port), "--workers", "1"]
        words += ["--artifacts-destination", str(self._artifacts)]
        command = [sys.executable, "-m", "mlflow", "server", *words]
        self._process = self._folder.start("mlflow", *command, environment=self._environment)
        wait_until(self._answers, seconds=STARTS_IN_SECONDS, otherwise=self._folder.said)

    def stop(self) -> None:
        """Take the server away: what it has answered is kept."""
        if self._process is not None:
            end_processes(self._folder.path)  # a worker outlives the process that was started
            self._process.wait()
            self._process = None

    @contextmanager
    def away(self) -> Iterator[None]:
        """Let the server be gone within the block."""
        self.stop()
        try:
            yield
        finally:
            self.start()

    def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, f"the MLflow server ended: {self._folder.said()}"
        try:
            urllib.request.urlopen(f"{self.address}/health", timeout=2).close()
        except (urllib.error.URLError, OSError):
            return False
        return True


@contextmanager
def running_mlflow_server(store: str | None = None) -> Iterator[MlflowServer]:
    """Yield a running server on a store's address; without one, on an SQLite file of its own."""
    with engine_folder() as folder:
        if store is None:
            from tests.support.finished_benchmark import (
                fresh_store,  # takes a second, which no other test should wait for
            )

            (folder.path / "mlflow.db").write_bytes(fresh_store())
            store = f"sqlite:///{folder.path}/mlflow.db"
        server = MlflowServer(folder, store, folder.path / "artifacts")
        server.start()
        yield server
        server.stop()
