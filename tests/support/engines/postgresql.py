"""A real PostgreSQL in a temporary folder, which tests may take away for a while."""

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.engines.components import postgresql_programs
from tests.support.engines.engine_folder import EngineFolder, engine_folder, free_port, wait_until

USER = "backbench"
PASSWORD = "not-for-logs"
STARTS_IN_SECONDS = 30.0
# Nothing has to survive the machine. synchronous_commit stays on: without it the server's own crash loses commits.
SETTINGS = ("fsync=off", "full_page_writes=off", "shared_buffers=16MB")
ADDRESS = ("listen_addresses=127.0.0.1", "unix_socket_directories=")


class Postgresql:
    """A server on the loopback device that lets a user in by password alone."""

    def __init__(self, folder: EngineFolder) -> None:
        self._folder = folder
        self._programs = postgresql_programs()
        self._data = folder.path / "data"
        self._user = "postgres" if os.geteuid() == 0 else None  # the server refuses to run as root
        self._process: subprocess.Popen[bytes] | None = None
        self.port = free_port()
        self._initialise()

    @property
    def log(self) -> Path:
        """The file of what the server said."""
        return self._folder.log_file("postgresql")

    @property
    def url(self) -> str:
        """The address of the database that every server has, in SQLAlchemy's words, password included."""
        return self.url_of("postgres")

    def url_of(self, database: str) -> str:
        """Return a database's address, password included; psycopg 3 is its driver."""
        return f"postgresql+psycopg://{USER}:{PASSWORD}@127.0.0.1:{self.port}/{database}"

    def create_database(self, name: str) -> str:
        """Create an empty database and return its address."""
        subprocess.run(
            [self._programs / "createdb", "--host=127.0.0.1", f"--port={self.port}", f"--username={USER}", name],
            env={**os.environ, "PGPASSWORD": PASSWORD},
            check=True,
        )
        return self.url_of(name)

    def start(self) -> None:
        """Start the server, on the same port and data as before, and wait until it answers."""
        settings = [f"--{setting}" for setting in (*SETTINGS, *ADDRESS, f"port={self.port}")]
        server = self._programs / "postgres"
        self._process = self._folder.start("postgresql", server, "-D", self._data, *settings, user=self._user)
        wait_until(self._answers, seconds=STARTS_IN_SECONDS, otherwise=self._folder.said)

    def stop(self) -> None:
        """Take the server away as a crash would: connections break at once; what was committed is kept."""
        if self._process is not None:
            self._process.send_signal(signal.SIGQUIT)
            self._process.wait()
            self._process = None

    def _initialise(self) -> None:
        password = self._folder.path / "password"
        password.write_text(PASSWORD)
        self._data.mkdir()
        if self._user:
            for path in (password, self._data):
                shutil.chown(path, self._user)
        words = (f"--pwfile={password}", f"--username={USER}", "--auth=scram-sha-256", "--encoding=UTF8", "--locale=C")
        initdb = self._programs / "initdb"
        made = self._folder.start("initdb", initdb, "-D", self._data, "--no-sync", *words, user=self._user)
        assert made.wait() == 0, self._folder.said()

    def _answers(self) -> bool:
        command = [str(self._programs / "pg_isready"), "--quiet", "--host=127.0.0.1", f"--port={self.port}"]
        return subprocess.run(command, check=False).returncode == 0


@contextmanager
def running_postgresql() -> Iterator[Postgresql]:
    """Yield a running server."""
    with engine_folder() as folder:
        server = Postgresql(folder)
        server.start()
        yield server
        server.stop()
