"""Whether a file system has locks, and which one it is; nothing but the standard library, for make asks first."""

import errno
import fcntl
import re
import tempfile
from dataclasses import dataclass
from pathlib import Path

from backbench.runtime.known_files import known_text

# What flock fails with where there are none: NFS without lockd, Lustre without -o flock, some of FUSE.
NO_LOCKS = (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOSYS)
MOUNTS = Path("/proc/self/mountinfo")


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
