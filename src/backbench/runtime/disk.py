"""What a file system refused, in one line: there is no room, or writing is not allowed."""

import errno
import re
import shutil
import tempfile
from pathlib import Path

from backbench.runtime import paths
from backbench.runtime.errors import causes
from backbench.runtime.units import size

NO_ROOM = (errno.ENOSPC, errno.EDQUOT)
# Of libraries that do not hand on the system's error number: safetensors, SQLite, NumPy.
WORDS_FOR_NO_ROOM = re.compile(r"No space left on device|database or disk is full|^\d+ requested and \d+ written$")
WRITTEN = (Path(), Path("work"), Path("models"), paths.LEADERBOARD.parent, paths.REPORT)


def no_room(error: BaseException) -> str | None:
    """Say where there is no room, where that is what an error comes from, or None."""
    for cause in causes(error):
        if (isinstance(cause, OSError) and cause.errno in NO_ROOM) or WORDS_FOR_NO_ROOM.search(str(cause)):
            named = cause.filename if isinstance(cause, OSError) else None
            place = _existing(Path(named)) if isinstance(named, str) else _fullest()
            left = size(shutil.disk_usage(place).free)
            return (
                f"expected room for what is written, found no space on the file system of {place.resolve()} ({left} "
                "left); free some and start again: what was finished is kept"
            )
    return None


def refusal(error: BaseException) -> str | None:
    """Say what a file system refused, where that is what an error is about, or None."""
    if isinstance(error, OSError) and error.errno in (errno.EROFS, errno.EACCES):
        place = Path() if error.filename is None else error.filename
        return f"expected leave to use {place}, found: {error.strerror}; change its permissions and start again"
    return no_room(error)


def _fullest() -> Path:
    """The place with the least room, of those that stages write to; the system does not say which one it was."""
    places = [place for place in (*WRITTEN, Path(tempfile.gettempdir())) if place.exists()]
    return min(places, key=lambda place: shutil.disk_usage(place).free)


def _existing(path: Path) -> Path:
    return next(place for place in (path, *path.absolute().parents) if place.exists())
