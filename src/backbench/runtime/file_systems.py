"""Whether a file system has locks, and which one it is; nothing but the standard library, for make asks first."""

import errno
import fcntl
import re
import tempfile
from pathlib import Path

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


def file_system(place: Path, mounts: Path = MOUNTS) -> str:
    """Name the file system that a place lies on, such as `lustre at /scratch`."""
    resolved, found = place.resolve(), ("a file system of unknown type", Path("/"))
    try:
        lines = mounts.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError:
        lines = []
    for line in lines:
        # Fields of proc(5): the fifth is the mount point, and the first after a dash the type.
        words, _, rest = line.partition(" - ")
        point = Path(re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), words.split()[4]))
        # Of mounts on one point the last hides the others.
        if resolved.is_relative_to(point) and len(point.parts) >= len(found[1].parts):
            found = (rest.split()[0], point)
    return f"{found[0]} at {found[1]}"
