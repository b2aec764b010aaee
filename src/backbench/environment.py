"""What stages run with: versions of packages, the machine, the state of the code. No library is imported for it."""

import json
import os
import platform
import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

PACKAGES = ("backbench", "keras", "tensorflow", "jax", "torch", "optuna", "mlflow", "dvc", "hydra-core", "numpy")
# What decides results; a stage writes into other places while it runs.
SOURCES = ("src", "pipelines", "conf", "dvc.yaml")
CPUINFO, MEMINFO = Path("/proc/cpuinfo"), Path("/proc/meminfo")
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
    return Environment(_versions(), _backend(), _machine(), commit or None, bool(commit and changed))


def _versions() -> dict[str, str]:
    found = {"Python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def _backend() -> str:
    """Name the backend as Keras would choose it: the variable, then its own file."""
    chosen = os.environ.get("KERAS_BACKEND")
    if chosen:
        return chosen
    file = Path(os.environ.get("KERAS_HOME", "~/.keras")).expanduser() / "keras.json"
    try:
        return str(json.loads(file.read_text(encoding="utf-8")).get("backend", "tensorflow"))
    except (OSError, ValueError):
        return "tensorflow"


def _machine() -> str:
    model = re.search(r"^model name\s*:\s*(.+)$", _text(CPUINFO), re.MULTILINE)
    memory = re.search(r"^MemTotal:\s+(\d+) kB", _text(MEMINFO), re.MULTILINE)
    parts = [platform.system(), model[1].strip() if model else platform.machine(), f"{os.cpu_count()} cores"]
    if memory:
        parts.append(f"{int(memory[1]) * 1024 / 1e9:.0f} GB of memory")
    return ", ".join(parts)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError:
        return ""


def _git(*words: str) -> str:
    """Return what git says; nothing where there is no git, or no repository."""
    try:
        done = subprocess.run(["git", *words], capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
