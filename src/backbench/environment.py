"""What stages run with: versions of packages, the machine, the state of the code. No library is imported for it."""

import platform
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass

from backbench.hardware import machine_name
from backbench.installation import backend, installed

PACKAGES = ("backbench", "keras", "tensorflow", "jax", "torch", "optuna", "mlflow", "dvc", "hydra-core", "numpy")
# What decides results; a stage writes into other places while it runs.
SOURCES = ("src", "pipelines", "conf", "dvc.yaml")
PATIENCE_SECONDS = 20


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
    commit = _git("rev-parse", "HEAD")
    changed = _git("status", "--porcelain", "--", *SOURCES)
    return Environment(_versions(), backend(), machine_name(), commit or None, bool(commit and changed))


def _versions() -> dict[str, str]:
    found = {name: installed(name) for name in PACKAGES}
    return {"Python": platform.python_version(), **{name: version for name, version in found.items() if version}}


def _git(*words: str) -> str:
    """Return what git says; nothing where there is no git, or no repository."""
    try:
        done = subprocess.run(["git", *words], capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
