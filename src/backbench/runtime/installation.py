"""Which packages are installed, which Keras backend would compute, and whose code this is; none of them is imported."""

import importlib.metadata
import json
import os
import platform
from functools import cache
from pathlib import Path

from backbench.runtime.errors import ConfigError

CHECKOUT = Path(__file__).resolve().parents[3]
# Beside Keras and its backend: what draws, resizes, searches, and builds graphs.
DECIDING_PACKAGES = ("keras-hub", "matplotlib", "numpy", "optuna", "pillow", "scikit-learn", "scipy")
PACKAGE_OF_BACKEND = {"tensorflow": "tensorflow", "jax": "jax", "torch": "torch", "openvino": "openvino"}


@cache
def installed(name: str) -> str | None:
    """Return the version of a package, or None where it is not installed."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def backend() -> str:
    """Name the Keras backend that a stage would choose: from KERAS_BACKEND, else from Keras's own file."""
    chosen = os.environ.get("KERAS_BACKEND")
    if chosen:
        return chosen
    file = Path(os.environ.get("KERAS_HOME", "~/.keras")).expanduser() / "keras.json"
    try:
        return str(json.loads(file.read_text(encoding="utf-8")).get("backend", "tensorflow"))
    except (OSError, ValueError):
        return "tensorflow"


def require_own_code(folder: Path) -> None:
    """Refuse to work in a checkout with the code of another one.

    Raises:
        ConfigError: the folder is a checkout, and this code lies in another.
    """
    is_checkout = (folder / "dvc.yaml").is_file() and (folder / "src/backbench").is_dir()
    if is_checkout and folder.resolve() != CHECKOUT:
        raise ConfigError(
            f"expected the code of {folder.resolve()}, found that of {CHECKOUT}; activate the environment of this "
            "checkout (`make .venv/ready` makes it), or put PYTHONPATH=src before the command"
        )


def computing_versions() -> dict[str, str | None]:
    """Return the versions of Keras and of the package that computes for it."""
    name = backend()
    return {package: installed(package) for package in ("keras", PACKAGE_OF_BACKEND.get(name, name))}


def deciding_versions() -> dict[str, str | None]:
    """Return the versions of Python and of all packages that decide the numbers of a result."""
    others = {package: installed(package) for package in DECIDING_PACKAGES}
    return {"python": platform.python_version(), **computing_versions(), **others}
