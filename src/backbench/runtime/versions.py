"""The versions that decide results, in conf/versions.yaml, which `python -m backbench.runtime.versions` writes.

DVC sees files only. So what is installed is written into one before stages run, a stage depends on its lines, and a
stage that finds itself in another environment refuses to run.
"""

from collections.abc import Mapping
from pathlib import Path

from omegaconf import OmegaConf

from backbench.runtime.atomic_files import write_text
from backbench.runtime.errors import ConfigError
from backbench.runtime.installation import versions_here

FILE = Path("conf/versions.yaml")
HEADER = (
    "# What computes here. `make repro` writes it, and DVC runs again what depends on a line that changed.\n"
    "# `backend` is Keras's: KERAS_BACKEND chooses it.\n"
)


def record_versions(file: Path = FILE) -> list[str]:
    """Write the versions of this environment, and return what differs from those that the file had: `keras 3.15.1`."""
    here = versions_here()
    changed = [f"{name} {version}" for name, version in here.items() if _recorded(file).get(name, "") != version]
    if changed:
        write_text(file, HEADER + OmegaConf.to_yaml(OmegaConf.create(here)))
    return changed


def require_recorded_versions(file: Path = FILE) -> None:
    """Refuse to compute with other versions than DVC knows of.

    Raises:
        ConfigError: this environment is not the one that the file tells of.
    """
    recorded = _recorded(file)
    other = [
        f"{name} {version} ({recorded.get(name)} recorded)"
        for name, version in versions_here().items()
        if recorded.get(name, "") != version
    ]
    if other:
        raise ConfigError(
            f"expected the versions in {file}, found {', '.join(other)}; `make repro` writes it and runs what depends "
            "on it, as `python -m backbench.runtime.versions` before `dvc repro` does"
        )


def _recorded(file: Path) -> Mapping[str, str | None]:
    return dict(OmegaConf.load(file)) if file.is_file() else {}


def main() -> None:
    changed = record_versions()
    print(f"{FILE}: {', '.join(changed) or 'nothing'} changed; next: dvc repro")


if __name__ == "__main__":
    main()
