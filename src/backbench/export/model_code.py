"""Which modules of this package a logged model needs, so that it carries those and no others."""

import shutil
from pathlib import Path

from backbench.runtime.source_code import PACKAGE, imported_modules

START = "export/exported_model"
# A backbone's constructor may be any of these: the configuration names it, no import does.
WHOLE = "backbones"


def needed_modules() -> list[Path]:
    """Return the files of every module that the exported model imports, theirs in turn, and all that build backbones.

    The files are relative to the package, sorted.
    """
    starts = [PACKAGE / f"{START}.py", *(PACKAGE / WHOLE).glob("*.py")]
    found = frozenset[Path]().union(*map(imported_modules, starts))
    return sorted(file.relative_to(PACKAGE) for file in found)


def copy_modules(target: Path) -> None:
    """Copy them into a folder that becomes the package."""
    for file in needed_modules():
        (target / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(PACKAGE / file, target / file)
