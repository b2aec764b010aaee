"""What stages run with: versions of packages, the machine, what git says of the code. No library is imported for it."""

import os
import platform
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from backbench.runtime.hardware import machine_name
from backbench.runtime.installation import backend, installed

PACKAGES = ("backbench", "keras", "tensorflow", "jax", "torch", "optuna", "mlflow", "dvc", "hydra-core", "numpy")
# What decides results; a stage writes into other places while it runs.
SOURCES = ("src", "pipelines", "conf", "dvc.yaml")
PATIENCE_SECONDS = 30


class GitError(Exception):
    """Git has no answer; the arguments are what was found, and what to do."""


def git(*words: str) -> str:
    """Return what git says.

    Raises:
        GitError: there is no git, no repository, or one that git refuses to read.
    """
    try:
        done = subprocess.run(
            ("git", *words),
            capture_output=True,
            text=True,
            timeout=PATIENCE_SECONDS,
            env={**os.environ, "LC_ALL": "C"},  # so that it refuses in English
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        raise GitError("git does not answer", "install it: runs are named by their commit") from None
    if done.returncode == 0:
        return done.stdout.strip()
    if "dubious ownership" in done.stderr:
        advice = f"runs are named by their commit: run `git config --global --add safe.directory {Path.cwd()}`"
        raise GitError("the repository is another user's, and git does not read it", advice)
    raise GitError("this is no repository, or has no commit", "runs are named by their commit: use a clone")


def commit() -> str | None:
    """Return the commit that this folder is checked out from; None where git does not say, or has another folder."""
    try:
        # The second asks for this folder in that commit: it may lie untracked within a repository of something else.
        return git("rev-parse", "HEAD", "HEAD:./").split()[0]
    except GitError:
        return None


@dataclass(frozen=True)
class Environment:
    """Versions by package name, the Keras backend, the machine in words, and the git commit where there is one."""

    versions: Mapping[str, str]
    backend: str
    machine: str
    commit: str | None
    is_commit_changed: bool = False


def look_around() -> Environment:
    """Gather what this process runs with; never the machine's name, a place or a time."""
    packages = {name: version for name in PACKAGES if (version := installed(name))}
    versions, found = {"Python": platform.python_version(), **packages}, commit()
    try:
        is_changed = found is not None and bool(git("status", "--porcelain", "--", *SOURCES))
    except GitError:
        is_changed = False
    return Environment(versions, backend(), machine_name(), found, is_changed)
