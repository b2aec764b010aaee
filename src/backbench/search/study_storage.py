"""Where a study lives while it is searched: a journal or a SQLite file on one machine, PostgreSQL on a cluster.

The address of a database comes from the environment, for it may hold a password; it is never printed.
"""

import os
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import optuna
from optuna.exceptions import StorageInternalError
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend, JournalFileSymlinkLock
from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, SQLAlchemyError

from backbench.config.running_config import WorkersConfig
from backbench.runtime import paths
from backbench.runtime.errors import BackbenchError, ConfigError
from backbench.runtime.locks import file_lock
from backbench.runtime.web_address import without_secrets
from backbench.search.database_refusals import is_refused

STUDIES = "BACKBENCH_STUDIES"
CONNECT_SECONDS = 10
LONGEST_PAUSE_SECONDS = 10.0
Returned = TypeVar("Returned")


class StudyError(BackbenchError):
    """A study cannot be reached, or cannot be finished."""


class RetriesWhileAway:
    """Repeats what failed because the storage is away, until it is back or too long has passed."""

    def __init__(self, seconds: float, shown: str) -> None:
        """Wait at most so long for the storage, which messages call `shown`."""
        self._seconds, self._shown = seconds, shown
        self._has_been_away = False

    def has_been_away(self) -> bool:
        """Say whether the storage was away since this was last asked."""
        was, self._has_been_away = self._has_been_away, False
        return was

    def __call__(self, call: Callable[[], Returned]) -> Returned:
        """Return what `call` returns; it may be called again after it failed, also where it had done its work.

        Raises:
            StudyError: the storage stayed away, or refuses.
        """
        started, pause = time.monotonic(), 0.2
        while True:
            try:
                result = call()
            except (StorageInternalError, SQLAlchemyError) as error:
                told = _told(error)
                reason = without_secrets(" ".join(told.split()))[:200]
                if is_refused(told) or time.monotonic() - started > self._seconds:
                    self._seconds = 0.0  # whoever cleans up now need not wait as long again
                    raise StudyError(
                        f"expected the studies' storage {self._shown} to answer, found: {reason}; "
                        "start it or correct its address, then start this again: it goes on where it stopped"
                    ) from error
                if pause == 0.2:
                    print(f"the studies' storage {self._shown} is away ({reason}); waiting for it", flush=True)
                time.sleep(pause)
                pause = min(2 * pause, LONGEST_PAUSE_SECONDS)
            else:
                if pause > 0.2:
                    self._has_been_away = True
                    print(f"the studies' storage {self._shown} is back", flush=True)
                return result


def _told(error: Exception) -> str:
    """Return what the driver said, without SQLAlchemy's words around it, in which parameters stand."""
    cause = error.__cause__ if isinstance(error, StorageInternalError) and error.__cause__ else error
    return str(cause.orig if isinstance(cause, DBAPIError) else cause)


@dataclass(frozen=True)
class StudyStorage:
    """An opened storage, how it is called in messages, who waits for it, what to hold while a trial's state is decided,
    and what gives its connections back.
    """

    storage: BaseStorage
    shown: str
    patiently: RetriesWhileAway
    deciding: Callable[[], AbstractContextManager[object]]
    close: Callable[[], None]


def open_storage(config: WorkersConfig, folder: Path) -> StudyStorage:
    """Open the storage of studies.

    Args:
        config: Which kind, and for how long to wait where it is away.
        folder: Of the cell's state; a file lies there.

    Raises:
        ConfigError: a database is wanted, and the environment does not say which.
        StudyError: it cannot be reached.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    folder.mkdir(parents=True, exist_ok=True)
    if config.storage == "journal":
        return _journal(folder / "study.journal", config)
    if config.storage == "sqlite":
        file = folder / "study.db"
        # SQLite lets two processes decide the same trial's state at once.
        return _database(f"sqlite:///{file}", file.name, config, lambda: file_lock(Path(f"{file}.lock")))
    url = _postgresql(os.environ.get(STUDIES, ""), config.name)
    return _database(url.render_as_string(hide_password=False), f"{url.host}/{url.database}", config, nullcontext)


def _postgresql(address: str, name: str) -> URL:
    """Read the address of a database; what cannot be read is not repeated, for it may hold a password."""
    found = f"{address.partition(':')[0]}:…" if address else "nothing"
    try:
        url = make_url(address)
        if url.drivername in ("postgresql", "postgresql+psycopg"):
            return url.set(drivername="postgresql+psycopg")
    except (ArgumentError, ValueError):
        found = "an address that cannot be read"
    raise ConfigError(
        f"conf/workers/{name}.yaml: storage: expected the environment variable {STUDIES} to hold "
        f"postgresql://user@host/database, found {found}; set it, with the password there or in ~/.pgpass"
    )


class _MendingLock(JournalFileSymlinkLock):
    """Whoever is about to append cuts off an unfinished line first: its writer was killed, or had no room.

    What is appended to such a line would spoil the journal for everybody.
    """

    def __init__(self, journal: Path) -> None:
        super().__init__(str(journal))
        self._journal = journal

    def acquire(self) -> bool:
        taken = super().acquire()
        _cut_unfinished_line(self._journal)
        return taken


def _journal(file: Path, config: WorkersConfig) -> StudyStorage:
    storage = JournalStorage(JournalFileBackend(str(file), lock_obj=_MendingLock(file)))
    patiently = RetriesWhileAway(config.patience_seconds, file.name)
    return StudyStorage(storage, file.name, patiently, nullcontext, lambda: None)


def _cut_unfinished_line(file: Path) -> None:
    with file.open("rb+") as opened:
        length = opened.seek(0, os.SEEK_END)
        if length == 0 or (opened.seek(length - 1), opened.read(1))[1] == b"\n":
            return
        opened.seek(0)
        opened.truncate(opened.read().rfind(b"\n") + 1)


def _database(
    address: str, shown: str, config: WorkersConfig, deciding: Callable[[], AbstractContextManager[object]]
) -> StudyStorage:
    patiently = RetriesWhileAway(config.patience_seconds, shown)
    options = {"timeout": CONNECT_SECONDS} if address.startswith("sqlite") else {"connect_timeout": CONNECT_SECONDS}

    def opened() -> RDBStorage:
        # Several processes that create the tables at once break each other.
        with file_lock(paths.LOCKS / "studies.lock"):
            try:
                return RDBStorage(address, engine_kwargs={"pool_pre_ping": True, "connect_args": options})
            except ImportError as error:
                raise StudyError(
                    f"expected the driver of {shown}, found none ({error.name}); pip install 'backbench[cluster]'"
                ) from error

    database = patiently(opened)

    def close() -> None:
        database.remove_session()
        database.engine.dispose()

    return StudyStorage(optuna.storages.get_storage(database), shown, patiently, deciding, close)
