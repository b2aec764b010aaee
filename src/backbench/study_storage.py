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
from filelock import FileLock
from optuna.exceptions import StorageInternalError
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend, JournalFileSymlinkLock
from optuna.storages.journal._file import get_lock_file
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from backbench import artifacts
from backbench.config import WorkersConfig
from backbench.errors import BackbenchError, ConfigError
from backbench.web_address import without_secrets

STUDIES = "BACKBENCH_STUDIES"
CONNECT_SECONDS = 10
LONGEST_PAUSE_SECONDS = 10.0
# SQLSTATE classes that waiting does not heal: who may enter, and what there is.
REFUSED = ("28", "3D", "42")
Returned = TypeVar("Returned")


class StudyError(BackbenchError):
    """A study cannot be reached, or cannot be finished."""


class Patience:
    """Repeats what failed because the storage is away, until it is back or too long has passed."""

    def __init__(self, seconds: float, shown: str) -> None:
        """Wait at most so long for the storage, which messages call `shown`."""
        self._seconds, self._shown = seconds, shown
        self.num_outages = 0

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
                reason = _reason(error)
                if _is_refused(error) or time.monotonic() - started > self._seconds:
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
                    self.num_outages += 1
                    print(f"the studies' storage {self._shown} is back", flush=True)
                return result


def _reason(error: Exception) -> str:
    cause = error.__cause__ if isinstance(error, StorageInternalError) and error.__cause__ else error
    told = cause.orig if isinstance(cause, DBAPIError) else cause
    return without_secrets(" ".join(str(told).split()))[:200]


def _is_refused(error: Exception) -> bool:
    cause = error.__cause__ if isinstance(error, StorageInternalError) and error.__cause__ else error
    told = cause.orig if isinstance(cause, DBAPIError) else None
    state = str(getattr(told, "sqlstate", None) or "")
    return state.startswith(REFUSED) or "authentication failed" in str(told) or "is full" in str(told)


@dataclass(frozen=True)
class StudyStorage:
    """An opened storage, how it is called in messages, who waits for it, and what a claim must hold meanwhile."""

    storage: BaseStorage
    shown: str
    patiently: Patience
    claiming: Callable[[], AbstractContextManager[object]]


def open_storage(config: WorkersConfig, folder: Path, *, creating: bool) -> StudyStorage:
    """Open the storage of studies.

    Args:
        config: Which kind, and for how long to wait where it is away.
        folder: Of the cell's state; a file lies there.
        creating: Make what lacks and mend what a killed process left; for the one process that coordinates.

    Raises:
        ConfigError: a database is wanted, and the environment does not say which.
        StudyError: it cannot be reached.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    folder.mkdir(parents=True, exist_ok=True)
    if config.storage == "journal":
        return _journal(folder / "study.journal", config, creating=creating)
    if config.storage == "sqlite":
        file = folder / "study.db"
        # SQLite gives one waiting trial to two workers that ask at once.
        return _database(f"sqlite:///{file}", file.name, config, lambda: FileLock(f"{file}.lock"))
    address = os.environ.get(STUDIES, "")
    if not address.startswith(("postgresql://", "postgresql+psycopg://")):
        found = "nothing" if not address else f"{address.partition(':')[0]}:…"
        raise ConfigError(
            f"conf/workers/{config.name}.yaml: storage: expected the environment variable {STUDIES} to hold "
            f"postgresql://user@host/database, found {found}; set it, with the password there or in ~/.pgpass"
        )
    address = address.replace("postgresql://", "postgresql+psycopg://", 1)
    shown = address.rpartition("@")[2].partition("?")[0]
    return _database(address, shown, config, nullcontext)


def _journal(file: Path, config: WorkersConfig, *, creating: bool) -> StudyStorage:
    lock = JournalFileSymlinkLock(str(file))
    if creating and file.exists():
        with get_lock_file(lock):
            _cut_unfinished_line(file)
    storage = JournalStorage(JournalFileBackend(str(file), lock_obj=lock))
    return StudyStorage(storage, file.name, Patience(config.patience_seconds, file.name), nullcontext)


def _cut_unfinished_line(file: Path) -> None:
    """Cut off what a process wrote of a line before it was killed or the disk was full: it spoils what follows."""
    with file.open("rb+") as opened:
        content = opened.read()
        opened.truncate(content.rfind(b"\n") + 1)


def _database(
    address: str, shown: str, config: WorkersConfig, claiming: Callable[[], AbstractContextManager[object]]
) -> StudyStorage:
    patiently = Patience(config.patience_seconds, shown)
    options = {"timeout": CONNECT_SECONDS} if address.startswith("sqlite") else {"connect_timeout": CONNECT_SECONDS}

    def opened() -> BaseStorage:
        # Several processes that create the tables at once break each other.
        artifacts.LOCKS.mkdir(parents=True, exist_ok=True)
        with FileLock(artifacts.LOCKS / "studies.lock"):
            try:
                database = RDBStorage(address, engine_kwargs={"pool_pre_ping": True, "connect_args": options})
            except ImportError as error:
                raise StudyError(
                    f"expected the driver of {shown}, found none ({error.name}); pip install 'backbench[cluster]'"
                ) from error
        return optuna.storages.get_storage(database)

    return StudyStorage(patiently(opened), shown, patiently, claiming)
