"""Which modules of this package a logged model needs, so that it carries those and no others."""

import ast
import shutil
from collections.abc import Iterator
from pathlib import Path

PACKAGE = Path(__file__).parent
START = "exported_model"
# A backbone's constructor may be any of these: the configuration names it, no import does.
WHOLE = "backbones"


def needed_modules() -> list[Path]:
    """Return the files of every module that the exported model imports, theirs in turn, and all that build backbones.

    The files are relative to the package, sorted.
    """
    pending = [PACKAGE / f"{START}.py", *(PACKAGE / WHOLE).glob("*.py")]
    found = {PACKAGE / "__init__.py"}
    while pending:
        file = pending.pop()
        if file not in found:
            found |= {file, file.with_name("__init__.py")}
            pending += _imports(file)
    return sorted(file.relative_to(PACKAGE) for file in found)


def copy_modules(target: Path) -> None:
    """Copy them into a folder that becomes the package."""
    for file in needed_modules():
        (target / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(PACKAGE / file, target / file)


def _imports(file: Path) -> Iterator[Path]:
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == PACKAGE.name:
            names = str(node.module).split(".")[1:]
            # `from backbench import artifacts` names a module last, `from backbench.artifacts import Cell` does not.
            candidates = [PACKAGE.joinpath(*names, alias.name) for alias in node.names]
            candidates += [PACKAGE.joinpath(*names)] if names else []
            yield from (found for each in candidates if (found := each.with_suffix(".py")).is_file())
