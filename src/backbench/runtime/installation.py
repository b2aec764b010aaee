"""Which packages are installed, which Keras backend would compute, on what, and whose code this is.

None of the packages is imported, nor a backend asked.
"""

import ctypes
import importlib.metadata
import json
import os
import platform
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from packaging.requirements import Requirement
from packaging.version import Version

from backbench.runtime.errors import ConfigError

CHECKOUT = Path(__file__).resolve().parents[3]
CONF = str(CHECKOUT / "conf")
# Beside the backend: what computes, draws, resizes, searches, and builds graphs.
DECIDING_PACKAGES = ("keras", "keras-hub", "matplotlib", "numpy", "optuna", "pillow", "scikit-learn", "scipy")
# Decode images of one format, and hash them, before anything is computed.
PREPARING_PACKAGES = ("imagehash", "pillow-heif")
BACKENDS = ("tensorflow", "jax", "torch", "openvino")  # named as their packages are
# A CUDA of the system's, such as a cluster's module, serves TensorFlow as well as the packages of its extra.
SYSTEMS_CUDA = ("libcudart.so.12", "libcudnn.so.9")
CUDA_EXTRA = "and-cuda"
JAX_PLUGINS = ("jax-cuda12-plugin", "jax-cuda13-plugin")
INSTALL_FOR_GPU = {
    "tensorflow": "run `make repro GPU=yes`, which installs them",
    "jax": "run `.venv/bin/pip install 'jax[cuda12]=={version}'`",
    "torch": "install a build of torch {version} for CUDA",
}


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
    return {package: installed(package) for package in ("keras", backend())}


def deciding_versions() -> dict[str, str | None]:
    """Return the versions of Python and of all packages that decide the numbers of a result from prepared images."""
    return {"python": platform.python_version(), **_computing_backend(), **_versions_of(DECIDING_PACKAGES)}


def versions_here() -> dict[str, str | None]:
    """Return the Keras backend, its version, and those of the packages that decide results; None: not installed."""
    return {**_computing_backend(), **_versions_of((*DECIDING_PACKAGES, *PREPARING_PACKAGES))}


def _computing_backend() -> dict[str, str | None]:
    return {"backend": backend(), "backend_version": installed(backend())}


def _versions_of(packages: Iterable[str]) -> dict[str, str | None]:
    return {package.replace("-", "_"): installed(package) for package in packages}


def lacking_for_gpu() -> tuple[str, ...]:
    """Name what the backend would need and has not to compute on an NVIDIA GPU; nothing where it can."""
    name = backend()
    version = installed(name)
    if version is None:
        return (name,)
    if name == "tensorflow":
        absent = tuple(package for package in _required(name, CUDA_EXTRA) if installed(package) is None)
        return () if all(map(_is_loadable, SYSTEMS_CUDA)) else absent
    if name == "jax":
        return () if any(map(installed, JAX_PLUGINS)) else JAX_PLUGINS[:1]
    if name == "torch":
        build = Version(version).local or ""
        brings_cuda = any(package.startswith(("nvidia-", "cuda-")) for package in _required(name, ""))
        return () if build.startswith("cu") or (not build and brings_cuda) else ("a build for CUDA",)
    return ("a GPU's kernels",)


def how_to_use_gpu() -> str:
    """Say what to run where something is lacking for a GPU."""
    name = backend()
    advice = INSTALL_FOR_GPU.get(name, "set KERAS_BACKEND to tensorflow")
    return advice.format(version=installed(name))


def _required(package: str, extra: str) -> list[str]:
    """Name what a package asks for on this machine: with one of its extras, that extra's own alone."""
    asked = map(Requirement, importlib.metadata.requires(package) or ())
    wanted = (one for one in asked if not extra or (one.marker and extra in str(one.marker)))
    return [one.name for one in wanted if one.marker is None or one.marker.evaluate({"extra": extra})]


def _is_loadable(library: str) -> bool:
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True
