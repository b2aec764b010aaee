"""Private parts of other libraries are used in `compat/` alone, be it in the product or in what made its weights."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from backbench.runtime.source_code import PACKAGE
from tests.support.configs import PROJECT

COMPAT = PACKAGE / "compat"
ROOMS = sorted(folder for folder in (*PACKAGE.iterdir(), PROJECT / "pretraining") if (folder / "__init__.py").is_file())
MODULES = sorted(file for file in COMPAT.rglob("*.py") if file.stem not in ("__init__", "attributes"))
# Underscored by their class for another reason than to be private.
PUBLIC = {
    "_replace": "a method of every named tuple, where a plain name would stand in the way of a field's",
    "_exit": "documented in os: ends a process from a thread of it, without what sys.exit would wait for",
}
OWNERS = ("self", "cls")


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__") and name not in PUBLIC


def private_uses(tree: ast.AST) -> Iterator[str]:
    """Yield private attributes of other objects, private imports, and what a class takes of a base elsewhere."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and is_private(node.attr):
            if not (isinstance(node.value, ast.Name) and node.value.id in OWNERS):
                yield ast.unparse(node)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            module = (node.module or "") if isinstance(node, ast.ImportFrom) else ""
            for name in (f"{module}.{alias.name}".strip(".") for alias in node.names):
                parts = name.split(".")
                if any(map(is_private, parts)) or parts[:2] == ["keras", "src"] or parts[0] == "unittest":
                    yield name
        elif isinstance(node, ast.ClassDef):
            yield from (f"{node.name}: self.{name}" for name in sorted(_used_by(node) - _made_by(node)))


def _used_by(tree: ast.ClassDef) -> set[str]:
    return {name for name, _ in _own_attributes(tree) if is_private(name)}


def _made_by(tree: ast.ClassDef) -> set[str]:
    defined = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
    return defined | {name for name, context in _own_attributes(tree) if isinstance(context, ast.Store)}


def _own_attributes(tree: ast.AST) -> Iterator[tuple[str, ast.expr_context]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in OWNERS:
            yield node.attr, node.ctx


@pytest.mark.parametrize("room", ROOMS, ids=lambda room: room.name)
def test_a_room_uses_only_what_is_public(room: Path) -> None:
    found = {
        file.relative_to(room).as_posix(): uses
        for file in sorted(room.rglob("*.py"))
        if COMPAT not in file.parents and (uses := list(private_uses(ast.parse(file.read_text(encoding="utf-8")))))
    }
    assert found == {}


@pytest.mark.parametrize(
    ("text", "uses"),
    [
        ("model._layers", ["model._layers"]),
        ("self.model._layers = 1", ["self.model._layers"]),
        ("from keras.src import ops", ["keras.src.ops"]),
        ("import jax._src.core", ["jax._src.core"]),
        ("from unittest.mock import patch", ["unittest.mock.patch"]),
        ("class A(B):\n    def f(self):\n        return self._b", ["A: self._b"]),
        ("class A(B):\n    def f(self):\n        self._b = self._g()\n    def _g(self): ...", []),
        ("self._a, stage._replace(a=1), keras.ops.add", []),
    ],
)
def test_what_counts_as_private(text: str, uses: list[str]) -> None:
    assert list(private_uses(ast.parse(text))) == uses


@pytest.mark.parametrize("file", MODULES, ids=lambda file: file.stem)
def test_a_module_of_compat_says_what_it_was_checked_with_and_has_a_test(file: Path) -> None:
    assert "\nChecked with " in (ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or "")
    assert (Path(__file__).parent / file.relative_to(COMPAT)).with_name(f"test_{file.stem}.py").is_file()
