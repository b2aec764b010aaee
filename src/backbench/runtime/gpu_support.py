"""Whether the Keras backend can compute on an NVIDIA GPU, from what is installed; no backend is imported."""

import ctypes
import importlib.metadata

from packaging.requirements import Requirement
from packaging.version import Version

from backbench.runtime.installation import PACKAGE_OF_BACKEND, backend, installed

# A CUDA of the system's, such as a cluster's module, serves TensorFlow as well as the packages of its extra.
SYSTEMS_CUDA = ("libcudart.so.12", "libcudnn.so.9")
CUDA_EXTRA = "and-cuda"
JAX_PLUGINS = ("jax-cuda12-plugin", "jax-cuda13-plugin")
INSTALL_FOR_GPU = {
    "tensorflow": "run `make repro GPU=yes`, which installs them",
    "jax": "run `.venv/bin/pip install 'jax[cuda12]=={version}'`",
    "torch": "install a build of torch {version} for CUDA",
}


def lacking_for_gpu() -> tuple[str, ...]:
    """Name what the backend would need and has not to compute on an NVIDIA GPU; nothing where it can."""
    name = backend()
    version = installed(PACKAGE_OF_BACKEND.get(name, name))
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
    return advice.format(version=installed(PACKAGE_OF_BACKEND.get(name, name)))


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
