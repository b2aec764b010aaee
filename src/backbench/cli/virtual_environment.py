"""The folder .venv: made by a chosen Python from a lock, kept while it is right, made anew where it is not.

Nothing but the standard library is imported, for this runs before anything is installed.
"""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from backbench.cli import repro_lock
from backbench.runtime import hardware
from backbench.runtime.digests import file_sha256
from backbench.runtime.errors import BackbenchError, ConfigError
from backbench.runtime.known_files import known_json

FOLDER = Path(".venv")
READY = FOLDER / "ready"
PROJECT = Path("pyproject.toml")
# The same versions; the second has CUDA's libraries besides.
LOCK, CUDA_LOCK = Path("requirements.lock"), Path("requirements.cuda.lock")
PIP = ("-m", "pip", "install", "--quiet", "--disable-pip-version-check")


class InstallationError(BackbenchError):
    """The environment cannot be made."""


def bring_up_to_date(gpu: str = "") -> None:
    """Make .venv what the running Python, the chosen lock and this folder ask for; nothing where it is that already.

    Args:
        gpu: `yes` or `no` chooses the lock, and holds until the other is said. Where nothing was ever said, a GPU that
            is found chooses; one that is not found does not choose again, so that a cluster's hosts with and without
            GPUs can share a checkout.

    Raises:
        ConfigError: `gpu` is neither.
        CheckoutInUseError: something else has to be there, and a run goes on with what there is.
        InstallationError: pip failed, and the next call begins anew; or .venv is a link to another checkout's.
    """
    kept = known_json(READY)  # empty where its making did not end
    if FOLDER.is_symlink() and kept.get("folder", own := str(FOLDER.absolute())) != own:
        raise InstallationError(
            f"expected an environment of this checkout, found that {FOLDER} links to that of {kept['folder']}; "
            f"run `rm {FOLDER}`, and start again"
        )
    said = gpu or str(kept.get("gpu", ""))
    lock = _chosen_lock(said, str(kept.get("lock", "")))
    wanted = {**_foundation(lock), "gpu": said, "digests": {str(file): file_sha256(file) for file in (lock, PROJECT)}}
    is_sound = all(kept.get(key) == value for key, value in _foundation(lock).items()) and _has_python()
    if not is_sound or kept.get("digests") != wanted["digests"]:
        repro_lock.take(repro_lock.LOCK)
        READY.unlink(missing_ok=True)
        if not is_sound:
            _create(lock)
        _install(lock)
    if kept != wanted:
        READY.write_text(json.dumps(wanted, indent=2) + "\n", encoding="utf-8")


def _chosen_lock(gpu: str, kept: str) -> Path:
    if gpu not in ("", "yes", "no"):
        raise ConfigError(f"expected GPU=yes or GPU=no, found GPU={gpu}; correct it, or leave it out")
    if gpu:
        return CUDA_LOCK if gpu == "yes" else LOCK
    return CUDA_LOCK if kept == str(CUDA_LOCK) or hardware.gpus() else LOCK


def _foundation(lock: Path) -> Mapping[str, object]:
    """Return what nothing can be installed over: scripts hold the folder's path, and pip leaves what no lock names."""
    return {
        "python": os.path.realpath(sys.executable),
        "version": f"{sys.version_info.major}.{sys.version_info.minor}",
        "folder": str(FOLDER.absolute()),
        "lock": str(lock),
    }


def _has_python() -> bool:
    """Say whether the environment's Python is there; it is a link, to one that may have been removed."""
    return os.access(FOLDER / "bin/python", os.X_OK)


def _create(lock: Path) -> None:
    print(f"making {FOLDER} with {sys.executable} from {lock}; it takes some minutes", flush=True)
    _run(sys.executable, "-m", "venv", "--clear", str(FOLDER))


def _install(lock: Path) -> None:
    python = str(FOLDER / "bin/python")
    _run(python, *PIP, "--require-hashes", "-r", str(lock))
    _run(python, *PIP, "--no-deps", "--no-build-isolation", "--editable", ".")


def _run(*command: str) -> None:
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME")}
    code = subprocess.run(command, env=environment, check=False).returncode
    if code:
        raise InstallationError(
            f"expected `{' '.join(command)}` to succeed, found exit code {code}; its lines above say why: correct it "
            "and start again"
        )
