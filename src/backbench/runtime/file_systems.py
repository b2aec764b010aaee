"""File systems: whether one has locks, which one it is, and what it refused, in one line.

Nothing but the standard library is imported, for make asks first.
"""

import errno
import fcntl
import re
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from backbench.runtime import paths
from backbench.runtime.errors import causes
from backbench.runtime.known_files import known_text
from backbench.runtime.units import size

# What flock fails with where there are none: NFS without lockd, Lustre without -o flock, some of FUSE.
NO_LOCKS = (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOSYS)
MOUNTS = Path("/proc/self/mountinfo")
NO_ROOM = (errno.ENOSPC, errno.EDQUOT)
# Of libraries that do not hand on the system's error number: safetensors, SQLite, NumPy.
WORDS_FOR_NO_ROOM = re.compile(r"No space left on device|database or disk is full|^\d+ requested and \d+ written$")
WRITTEN = (Path(), Path("work"), Path("models"), paths.LEADERBOARD.parent, paths.REPORT)


def has_locks(folder: Path) -> bool:
    """Say whether files in a folder can be locked with flock."""
    with tempfile.TemporaryFile(dir=folder) as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in NO_LOCKS:
                return False
            raise
    return True


@dataclass(frozen=True)
class Mount:
    """Which folder of a file system, `/` unless in a container, lies where; `kind` is such as `ext4`."""

    root: Path
    point: Path
    kind: str
    options: tuple[str, ...]


def mounts(mountinfo: Path = MOUNTS) -> list[Mount]:
    """Return every mount that this process sees, in the order that the kernel lists them in, as proc(5) says."""
    found = []
    for line in known_text(mountinfo).splitlines():
        words, _, rest = line.partition(" - ")
        root, point = (Path(_unescaped(word)) for word in words.split()[3:5])
        kind, *_, options = rest.split()
        found.append(Mount(root, point, kind, tuple(options.split(","))))
    return found


def file_system(place: Path, mountinfo: Path = MOUNTS) -> str:
    """Name the file system that a place lies on, such as `lustre at /scratch`."""
    resolved = place.resolve()
    above = [mount for mount in mounts(mountinfo) if resolved.is_relative_to(mount.point)]
    if not above:
        return "a file system of unknown type at /"
    # Of mounts on one point the last hides the others.
    innermost = max(reversed(above), key=lambda mount: len(mount.point.parts))
    return f"{innermost.kind} at {innermost.point}"


def _unescaped(text: str) -> str:
    r"""Turn `\040` into a space, as the kernel writes it."""
    return re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), text)


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
    """Return the place with the least room, of those that stages write to; the system does not say which it was."""
    places = [place for place in (*WRITTEN, Path(tempfile.gettempdir())) if place.exists()]
    return min(places, key=lambda place: shutil.disk_usage(place).free)


def _existing(path: Path) -> Path:
    return next(place for place in (path, *path.absolute().parents) if place.exists())
