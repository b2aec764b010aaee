"""A logged model brings the code that it needs, and no more."""

import os
import subprocess
import sys
from pathlib import Path

from backbench.runtime.source_code import PACKAGE
from backbench.tracking.models import copy_modules, needed_modules


def test_the_copied_modules_suffice_to_import_the_exported_model(tmp_path: Path) -> None:
    copy_modules(tmp_path / "backbench")
    code = "import backbench.export.exported_model, backbench.backbones.hub; print(backbench.__file__)"
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    shown = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
        cwd=tmp_path,
        env={**environment, "PYTHONPATH": str(tmp_path)},
    )
    assert shown.stdout.strip() == str(tmp_path / "backbench/__init__.py")


OTHERS = (
    *("search/search.py", "tracking/cell_writer.py", "comparison/leaderboard.py", "adaptation/training.py"),
    "tracking/served_model.py",
)


def test_what_searches_compares_or_records_is_not_among_them() -> None:
    names = {file.as_posix() for file in needed_modules()}
    assert {"export/exported_model.py", "backbones/hub.py", "backbones/resnext.py", "data/ingest/pixels.py"} <= names
    assert not names & set(OTHERS)
    assert all((PACKAGE / name).is_file() for name in (*names, *OTHERS))
