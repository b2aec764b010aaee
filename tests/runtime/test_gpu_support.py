"""Whether a backend computes on a GPU, by what is installed: no backend is imported for it."""

import sys
from importlib.metadata import PackageNotFoundError

import pytest

from backbench.runtime import installation

TENSORFLOWS = [
    "numpy>=1.26",
    "nvidia-cublas-cu12<13.0,>=12.5; extra == 'and-cuda'",
    "nvidia-cudnn-cu12>=9; extra == 'and-cuda'",
    "nvidia-of-others; extra == 'and-cuda' and sys_platform == 'no-such'",
]
TORCHS = ["filelock", "nvidia-cublas-cu12==12.8; platform_system == 'Linux'"]
PACKAGED = {"nvidia-cublas-cu12": "12.8", "nvidia-cudnn-cu12": "9.10"}


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> dict[str, object]:
    """Versions by name, as the installed packages, and under `loadable` the libraries of the system."""
    found: dict[str, object] = {"loadable": ()}

    def version(name: str) -> str:
        if name not in found:
            raise PackageNotFoundError(name)
        return str(found[name])

    installation.installed.cache_clear()
    monkeypatch.setattr("importlib.metadata.version", version)
    monkeypatch.setattr(
        "importlib.metadata.requires", lambda name: TENSORFLOWS if name == "tensorflow" else found["requires"]
    )
    monkeypatch.setattr(installation, "_is_loadable", lambda library: library in found["loadable"])
    yield found
    installation.installed.cache_clear()


@pytest.mark.parametrize(
    ("backend", "there", "lacking"),
    [
        ("tensorflow", {}, ("nvidia-cublas-cu12", "nvidia-cudnn-cu12")),
        ("tensorflow", {"nvidia-cublas-cu12": "12.8"}, ("nvidia-cudnn-cu12",)),
        ("tensorflow", PACKAGED, ()),
        ("tensorflow", {"loadable": installation.SYSTEMS_CUDA}, ()),
        ("tensorflow", {"loadable": installation.SYSTEMS_CUDA[:1]}, ("nvidia-cublas-cu12", "nvidia-cudnn-cu12")),
        ("jax", PACKAGED, ("jax-cuda12-plugin",)),
        ("jax", {"jax-cuda13-plugin": "0.10.2"}, ()),
        ("torch", {"torch": "2.13.0+cpu", "requires": TORCHS}, ("a build for CUDA",)),
        ("torch", {"torch": "2.13.0+cu128", "requires": TORCHS[:1]}, ()),
        ("torch", {"torch": "2.13.0", "requires": TORCHS}, ()),
        ("torch", {"torch": "2.13.0", "requires": TORCHS[:1]}, ("a build for CUDA",)),
    ],
)
def test_what_a_backend_lacks_for_a_gpu_is_known_from_packages(
    environment: dict[str, object],
    monkeypatch: pytest.MonkeyPatch,
    backend: str,
    there: dict[str, object],
    lacking: tuple[str, ...],
) -> None:
    monkeypatch.setenv("KERAS_BACKEND", backend)
    environment.update({backend: "2.0"} | there)
    assert installation.lacking_for_gpu() == lacking
    said = "make repro GPU=yes" if backend == "tensorflow" else str(environment[backend])
    assert said in installation.how_to_use_gpu()


def test_a_backend_that_is_absent_lacks_itself(environment: dict[str, object], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    assert installation.lacking_for_gpu() == ("jax",)


def test_this_environment_can_be_asked_without_importing_a_backend(monkeypatch: pytest.MonkeyPatch) -> None:
    for backend in ("tensorflow", "jax", "torch"):
        monkeypatch.setenv("KERAS_BACKEND", backend)
        before = set(sys.modules)
        assert isinstance(installation.lacking_for_gpu(), tuple)
        assert not {"tensorflow", "jax", "torch"} & (set(sys.modules) - before)
