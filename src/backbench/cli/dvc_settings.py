"""What DVC has to be told of the folder it works in: that there is no git, and that there are no locks.

Nothing but the standard library is imported, for this runs before every command of make.
"""

import configparser
import subprocess
from pathlib import Path

from backbench.compat.dvc_locks import LOCKS, is_held
from backbench.runtime.errors import BackbenchError
from backbench.runtime.file_systems import file_system, has_locks

FOLDER = Path(".dvc")
LOCAL = FOLDER / "config.local"
DVC = Path(".venv/bin/dvc")


class DvcSettingError(BackbenchError):
    """DVC cannot work in this folder as it is set."""


def agree() -> None:
    """Set `core.no_scm` as there is a git repository or not, and see that DVC can lock.

    Raises:
        DvcSettingError: the file system has no locks and DVC does not know, or the lock that it then takes is there.
    """
    if not FOLDER.is_dir():
        return
    is_without_git = not has_repository(Path.cwd())
    if is_without_git != _is_set("no_scm", LOCAL):
        words = ["core.no_scm", "true"] if is_without_git else ["--unset", "core.no_scm"]
        subprocess.run([str(DVC), "config", "--quiet", "--local", *words], check=True)
        found = "no git repository" if is_without_git else "a git repository"
        print(f"found {found}: DVC's core.no_scm is {'set' if is_without_git else 'removed'} in {LOCAL}", flush=True)
    if not has_locks(FOLDER):
        _agree_on_links()


def has_repository(folder: Path) -> bool:
    """Say whether a folder lies in a git repository, as DVC looks for one: git itself may not be installed."""
    gits = [place / ".git" for place in (folder, *folder.parents)]
    return any(git.is_file() or (git / "HEAD").is_file() for git in gits)


def _is_set(option: str, *files: Path) -> bool:
    settings = configparser.RawConfigParser(strict=False)
    settings.read(files, encoding="utf-8")
    return settings.get("core", option, fallback="").strip().lower() == "true"


def _agree_on_links() -> None:
    if not _is_set("hardlink_lock", FOLDER / "config", LOCAL):
        raise DvcSettingError(
            f"expected a file system with locks (flock), found {file_system(FOLDER)} without; use another, "
            "or mount it with them (Lustre: -o flock), or, where one host at a time runs this checkout, run "
            f"`{DVC} config --local core.hardlink_lock true`, and start again"
        )
    for lock in filter(Path.exists, LOCKS):
        if is_held(lock):
            raise DvcSettingError(
                f"expected no other DVC here, found {lock}, and on {file_system(FOLDER)} nobody can tell whether its "
                f"holder lives; wait for it, or, where no dvc runs on any host, run `rm {lock}`, and start again"
            )
        lock.unlink()
