"""Locks between processes: who writes, and who waits."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import BaseFileLock, FileLock, SoftFileLock, Timeout

from backbench.runtime.file_systems import has_locks
from backbench.runtime.paths import LOCKS


@contextmanager
def only_writer(name: str) -> Iterator[None]:
    """Hold the lock of one stage's outputs; wait where another process, such as an orphan, still writes.

    A killed `dvc` leaves its stage running; the next `dvc repro` would start a second writer beside it.
    """
    with holding(LOCKS / f"{name}.lock", f"{name}: another process still writes these outputs; waiting for it to end"):
        yield


def file_lock(lock_file: Path) -> BaseFileLock:
    """Return the lock of a file: the system's, or on a file system without locks one that is there while it is held.

    The second names its holder's process: on the same host a lock whose holder was killed is taken over.
    """
    lock_file.parent.mkdir(parents=True, exist_ok=True)
    if has_locks(lock_file.parent):
        return FileLock(lock_file)
    # An empty file of the other kind, which stays for good, would be taken for a lock that is held.
    return SoftFileLock(lock_file.with_name(f"{lock_file.name}.holder"))


@contextmanager
def holding(lock_file: Path, waiting: str) -> Iterator[None]:
    """Hold a lock; print `waiting` and wait where another process holds it."""
    lock = file_lock(lock_file)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        if isinstance(lock, SoftFileLock):
            waiting += f"; where it was killed on another host, remove {lock.lock_file}"
        print(waiting, flush=True)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()
