"""The programs that an engine is made of, and what a test does where one is missing."""

import os
import shutil
from pathlib import Path
from typing import NoReturn

import pytest

# Where Debian puts programs that are on no ordinary user's PATH: daemons, and PostgreSQL's versions, oldest first.
DAEMONS = ("/usr/sbin", "/sbin")
POSTGRESQL = Path("/usr/lib/postgresql")


def program(name: str, *, package: str) -> Path:
    """Return an installed program's path; without it the test is skipped, or fails where engines are required."""
    found = shutil.which(name, path=os.pathsep.join((os.environ.get("PATH", os.defpath), *DAEMONS)))
    if found is None:
        lacking(f"no {name} on this machine: apt-get install --no-install-recommends {package}")
    return Path(found)


def postgresql_programs() -> Path:
    """Return the folder of the newest installed PostgreSQL's programs."""
    versions = sorted(POSTGRESQL.glob("*/bin/initdb"), key=lambda path: float(path.parts[-3]))
    return (versions[-1] if versions else program("initdb", package="postgresql")).parent


def root() -> None:
    """Go on as root alone: SLURM's daemons start jobs as other users, and its GPUs here are device files."""
    if os.geteuid() != 0:
        lacking("SLURM's daemons and device files need root: run this test as root, in a container for instance")


def lacking(reason: str) -> NoReturn:
    """Skip the test with the reason, or fail it where BACKBENCH_ENGINES=required, as `.ci/run` sets it."""
    if os.environ.get("BACKBENCH_ENGINES") == "required":
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)
