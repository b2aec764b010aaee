"""Run a command as the only one of a checkout: `python -m backbench.cli.repro_lock LOCK COMMAND …`.

The lock is the system's (`flock`), held by the command and by whatever it starts, for as long as one of them lives: a
killed `make` whose `dvc` runs on still holds it. The file says who took it. A file system without locks has a link in
its place. Nothing but the standard library is imported, for this runs before every `make repro`.
"""

import fcntl
import getpass
import json
import os
import socket
import sys
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import NoReturn

from backbench.runtime.errors import BackbenchError, tell
from backbench.runtime.file_systems import NO_LOCKS
from backbench.runtime.known_files import known_json
from backbench.search.liveness import is_gone, owner_name

LOCK = Path("work/repro.lock")
PROCESSES = Path("/proc")
MAX_COMMAND_CHARACTERS = 80


class CheckoutInUseError(BackbenchError):
    """Another command holds the lock."""


def take(lock_file: Path) -> None:
    """Take the lock for this process and whatever it becomes or starts, and write down who it is.

    Raises:
        CheckoutInUseError: another process has it.
    """
    lock_file.parent.mkdir(parents=True, exist_ok=True)
    try:
        descriptor = os.open(lock_file, os.O_RDWR | os.O_CREAT, 0o666)
    except PermissionError:
        raise CheckoutInUseError(
            f"expected to write {lock_file}, found that it is another user's; work in a checkout of your own"
        ) from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise CheckoutInUseError(_who_holds(lock_file)) from None
    except OSError as error:
        if error.errno not in NO_LOCKS:
            raise
        if not _is_taken_by_name(lock_file):
            os.close(descriptor)
            advice = f"where its host is another one and it was killed, remove {_link(lock_file)}"
            raise CheckoutInUseError(f"{_who_holds(lock_file)}; {advice}") from None
    os.truncate(descriptor, 0)
    taker = {
        "user": _user(),
        "host": socket.gethostname(),
        "process": os.getpid(),
        "since": datetime.now().astimezone().isoformat(sep=" ", timespec="seconds"),
    }
    os.write(descriptor, json.dumps(taker).encode())
    os.set_inheritable(descriptor, True)


def _is_taken_by_name(lock_file: Path) -> bool:
    """Take the lock on a file system without locks: a link beside the file, whose target names this process.

    What a killed holder left is taken over on its own host, once nothing that it started has the file open.
    """
    link, own = _link(lock_file), owner_name()
    aside = link.with_name(f"{link.name}.{os.getpid()}")
    while True:
        with suppress(FileExistsError):
            link.symlink_to(own)
            return True
        with suppress(FileNotFoundError):  # its holder let go meanwhile: once more
            owner = link.readlink()
            if not is_gone(str(owner), own) or holders(lock_file).keys() - {os.getpid()}:
                return False
            link.rename(aside)
            if aside.readlink() != owner:  # somebody else took it over meanwhile
                aside.rename(link)
                return False
            aside.unlink()


def _link(lock_file: Path) -> Path:
    return lock_file.with_name(f"{lock_file.name}.holder")


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user need not have a name
        return f"user {os.getuid()}"


def _who_holds(lock_file: Path) -> str:
    taker = known_json(lock_file)  # empty where whoever took it has not written yet
    host, number = taker.get("host", "an unknown host"), taker.get("process")
    who = f"{taker.get('user', 'an unknown user')} on {host} since {taker.get('since', 'an unknown time')}"
    alive = holders(lock_file) if host == socket.gethostname() else {}
    if not alive or number in alive:
        held = f"held by {who}, process {number}; wait until it ends"
    else:
        left = ", ".join(f"process {pid} ({command})" for pid, command in sorted(alive.items()))
        held = f"taken by {who}, process {number}, which has ended and left {left} running; wait for that, or end it"
    return f"expected no other run in this checkout, found {lock_file} {held}, and start again"


def holders(lock_file: Path) -> dict[int, str]:
    """Return the processes that have a file open, by id, with their commands; none where a system has no /proc."""
    wanted, found = lock_file.stat(), {}
    for process in PROCESSES.glob("[0-9]*"):
        try:
            if any(os.path.samestat(entry.stat(), wanted) for entry in (process / "fd").iterdir() if entry.exists()):
                words = (process / "cmdline").read_bytes().rstrip(b"\0").split(b"\0")
                command = b" ".join(words).decode(errors="replace")
                found[int(process.name)] = " ".join(command.split())[:MAX_COMMAND_CHARACTERS]
        except OSError:
            continue  # it ended while we looked, or is another user's
    return found


def main() -> NoReturn:
    lock_file, *command = sys.argv[1:]
    try:
        take(Path(lock_file))
    except CheckoutInUseError as error:
        tell(error)
        sys.exit(2)
    os.execvp(command[0], command)


if __name__ == "__main__":
    main()
