"""A package index of a test's own: a folder of wheels, and pip configured for it alone."""

import os
import zipfile
from collections.abc import Mapping
from pathlib import Path

import pytest

NAME, VERSION = "drawn-weights", "0.1.0"
WHEEL = "drawn_weights-0.1.0-py3-none-any.whl"


def write_wheel(folder: Path, files: Mapping[str, bytes], name: str = WHEEL) -> Path:
    """Write a wheel of the package `NAME` that holds some files."""
    metadata = {
        "METADATA": f"Metadata-Version: 2.1\nName: {NAME}\nVersion: {VERSION}\n",
        "WHEEL": "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        "RECORD": "",
    }
    folder.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(folder / name, "w") as packed:
        for file, text in metadata.items():
            packed.writestr(f"drawn_weights-{VERSION}.dist-info/{file}", text)
        for file, content in files.items():
            packed.writestr(file, content)
    return folder / name


def use_index(monkeypatch: pytest.MonkeyPatch, **settings: str) -> None:
    """Configure pip by these settings alone, such as `FIND_LINKS`: no file of the machine's, no network but theirs."""
    for name in [name for name in os.environ if name.startswith("PIP_") or name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)
    for name, value in {"CONFIG_FILE": os.devnull, "RETRIES": "0", **settings}.items():
        monkeypatch.setenv(f"PIP_{name}", value)
