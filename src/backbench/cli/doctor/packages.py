"""Which packages are installed, in which versions; none of them is imported."""

import importlib.util
import platform
import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from backbench.cli.doctor.finding import Finding, missing, ready, warning
from backbench.config.backbone_config import BackboneConfig
from backbench.runtime.installation import BACKENDS, backend, installed

PYPROJECT = Path("pyproject.toml")
LOCK = Path("requirements.lock")
INSTALL = "run `rm -f .venv/ready && make .venv/ready`"
# What is not installed by default, and what wants it.
OPTIONAL = {
    "keras-hub": "backbones of KerasHub",
    "pillow-heif": "HEIC images",
    "timm": "comparing with timm in the tests",
    "jax": "KERAS_BACKEND=jax",
    "torch": "KERAS_BACKEND=torch",
}
# What a constructor imports when it is called, beside the module that it stands in.
IMPORTED_BY = {"backbench.backbones.hub": "keras_hub"}


def package_findings() -> Iterator[Finding]:
    """Compare what is installed with what pyproject.toml asks for and requirements.lock pins."""
    try:
        project = tomllib.loads(PYPROJECT.read_text(encoding="utf-8"))["project"]
        python, asked = project["requires-python"], [Requirement(text) for text in project["dependencies"]]
    except (OSError, KeyError, ValueError) as error:
        yield missing("packages", f"expected a project in {PYPROJECT}, found none ({error})", "run it in a clone")
        return
    yield _python(python)
    there = {one: installed(one.name) for one in asked}
    wrong = [
        f"{one.name}{one.specifier} ({version or 'absent'})"
        for one, version in there.items()
        if version is None or not one.specifier.contains(version, prereleases=True)
    ]
    if wrong:
        yield missing("packages", f"{len(wrong)} of {len(asked)} are not as asked: {', '.join(wrong)}", INSTALL)
    else:
        yield ready("packages", f"all {len(asked)} that pyproject.toml asks for")
    yield _locked(LOCK)
    yield _optional()
    yield _backend()


def _python(asked: str) -> Finding:
    found = platform.python_version()
    if SpecifierSet(asked).contains(found, prereleases=True):
        return ready("Python", found)
    return missing("Python", f"{found}, expected {asked}", "run `make repro PYTHON=python3.12`, or another that fits")


def _locked(lock: Path) -> Finding:
    if not lock.is_file():
        advice = "bring it back: `git checkout requirements.lock`"
        return warning("lock", f"expected {lock}, found nothing there", advice)
    pinned = dict(_pinned(lock.read_text(encoding="utf-8").splitlines()))
    others = [
        f"{name} {installed(name) or 'absent'}, not {version}"
        for name, version in pinned.items()
        if installed(name) != version
    ]
    if not others:
        return ready("lock", f"all {len(pinned)} versions are those of {lock}")
    shown = "; ".join(others[:3]) + (" …" if len(others) > 3 else "")
    found = f"{len(others)} of {len(pinned)} differ from {lock}: {shown}"
    return warning("lock", found, f"for the same bytes, {INSTALL}")


def _pinned(lines: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Yield the name and version of every line that holds here, such as `numpy==2.4.6 ; python_version < '3.12' \\`."""
    for line in lines:
        if "==" not in line or line.startswith((" ", "#")):
            continue
        asked = Requirement(line.rstrip("\\ "))
        if asked.marker is None or asked.marker.evaluate():
            yield canonicalize_name(asked.name), next(iter(asked.specifier)).version


def _optional() -> Finding:
    present = [f"{name} {installed(name)}" for name in OPTIONAL if installed(name)]
    absent = [f"{name} ({needs})" for name, needs in OPTIONAL.items() if not installed(name)]
    parts = [f"present: {', '.join(present)}"] * bool(present) + [f"absent: {', '.join(absent)}"] * bool(absent)
    return ready("optional packages", "; ".join(parts))


def _backend() -> Finding:
    name = backend()
    if name not in BACKENDS:
        return missing("Keras backend", f"expected {', '.join(BACKENDS)}, found {name}", "set KERAS_BACKEND")
    if installed(name) is None:
        return missing("Keras backend", f"{name}, which is not installed", f"install {name}, or unset KERAS_BACKEND")
    return ready("Keras backend", f"{name} {installed(name)}")


def constructor_findings(backbones: Iterable[BackboneConfig]) -> Iterator[Finding]:
    """Name the packages that the benchmark's backbones are built by, where one is not installed."""
    absent: dict[str, list[str]] = {}
    for backbone in backbones:
        for path in (backbone.constructor, backbone.preprocessor):
            module = IMPORTED_BY.get(path.rpartition(".")[0], path.partition(".")[0])
            if importlib.util.find_spec(module) is None:
                absent.setdefault(module, []).append(backbone.name)
    for module, names in absent.items():
        who = ", ".join(dict.fromkeys(names))
        yield missing("constructors", f"{who}: built by {module}, which is not installed", f"install {module}")
