"""Which modules of this package a module needs, read from their source, and what they do as one digest."""

import ast
import hashlib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

PACKAGE = Path(__file__).parents[1]


@cache
def imported_modules(module: Path, package: Path = PACKAGE) -> frozenset[Path]:
    """Return the files of a package that a module needs: itself, what it imports, and what that imports in turn.

    Imports within functions and those for type checking count, and the `__init__.py` of every folder on the way. A
    module that is named by a string alone does not.

    Args:
        module: A file, of the package or not.
        package: The folder of the package whose imports are followed; its name is how it is imported.
    """
    found: set[Path] = set()
    pending = [module]
    while pending:
        file = pending.pop()
        if file not in found:
            found.add(file)
            pending += _imports(file, package)
    return frozenset(found)


@cache
def code_fingerprint(*modules: Path, package: Path = PACKAGE) -> str:
    """Digest what modules do, with all that they import of the package, into 16 hexadecimal digits.

    Comments, docstrings and the layout of the code change nothing.
    """
    files = frozenset[Path]().union(*(imported_modules(module, package) for module in modules))
    digest = hashlib.sha256()
    for name, file in sorted((_name(file, package), file) for file in files):
        digest.update(f"{name}\n{ast.dump(_tree(file))}\n".encode())
    return digest.hexdigest()[:16]


def named_modules(*dotted: str, package: Path = PACKAGE) -> list[Path]:
    """Return the files of a package that dotted names need, such as `backbench.backbones.resnext.ResNeXt50`."""
    return [file for name in dotted for file in _files(tuple(name.split(".")), package)]


def _name(file: Path, package: Path) -> str:
    return file.relative_to(package).as_posix() if package in file.parents else file.name


@cache
def _tree(file: Path) -> ast.Module:
    """Parse a file without its documentation: strings that stand alone."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list):
            node.body = [s for s in body if not (isinstance(s, ast.Expr) and isinstance(s.value, ast.Constant))]  # type: ignore[attr-defined]
    return tree


def _imports(file: Path, package: Path) -> Iterator[Path]:
    own = file.relative_to(package.parent).with_suffix("").parts if package in file.parents else ()
    yield from _files(own, package)
    for node in ast.walk(_tree(file)):
        if isinstance(node, ast.Import):
            modules = [alias.name.split(".") for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            # What is imported may be a module, or a name in one.
            base = [*own[: -node.level], *(node.module.split(".") if node.module else ())]
            modules = [[*base, alias.name] for alias in node.names]
        else:
            continue
        for parts in modules:
            yield from _files(tuple(parts), package)


def _files(parts: tuple[str, ...], package: Path) -> Iterator[Path]:
    """Yield what importing a dotted name runs: every package on the way, and the module."""
    if parts[:1] != (package.name,):
        return
    for length in range(1, len(parts) + 1):
        place = package.parent.joinpath(*parts[:length])
        yield from (file for file in (place / "__init__.py", place.with_suffix(".py")) if file.is_file())
