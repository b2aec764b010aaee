"""The files by which DVC locks a folder, where its file system has no locks (`core.hardlink_lock`).

A file is locked while it has a second link; a file of one link is left by the other kind of lock, and DVC would wait
for it for ever. DVC documents neither the files nor that. Nothing but the standard library is imported, for this runs
before every command of make.

Checked with DVC 3.67.1.
"""

from pathlib import Path

LOCKS = (Path(".dvc/tmp/lock"), Path(".dvc/tmp/rwlock.lock"))


def is_held(lock: Path) -> bool:
    """Say whether a process holds a lock of hard links, or was killed while it did."""
    return lock.stat().st_nlink > 1
