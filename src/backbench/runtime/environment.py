"""What stages run with: versions of packages, the machine, the state of the code. No library is imported for it."""

import platform
from collections.abc import Mapping
from dataclasses import dataclass

from backbench.runtime.hardware import machine_name
from backbench.runtime.installation import backend, installed
from backbench.runtime.version_control import GitError, commit, git

PACKAGES = ("backbench", "keras", "tensorflow", "jax", "torch", "optuna", "mlflow", "dvc", "hydra-core", "numpy")
# What decides results; a stage writes into other places while it runs.
SOURCES = ("src", "pipelines", "conf", "dvc.yaml")


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
    found = commit()
    return Environment(_versions(), backend(), machine_name(), found, found is not None and _is_changed())


def _versions() -> dict[str, str]:
    found = {name: installed(name) for name in PACKAGES}
    return {"Python": platform.python_version(), **{name: version for name, version in found.items() if version}}


def _is_changed() -> bool:
    try:
        return bool(git("status", "--porcelain", "--", *SOURCES))
    except GitError:
        return False
