"""What a module needs, by its source: whatever the form of the import, and nothing that it does not run."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from backbench.runtime.source_code import PACKAGE, code_fingerprint, imported_modules, named_modules

STARTS = {
    "embed": "stages/embed/embed.py",
    "sweep": "stages/sweep/sweep.py",
    "train": "stages/train/train.py",
    "trials": "stages/sweep/cell_trials.py",
    "seeds": "stages/train/final_models.py",
}
SOURCES = {
    "__init__.py": "",
    "start.py": "",
    "inner/__init__.py": "from backbench import by_init",
    "inner/start.py": "",
    "inner/beside.py": "",
    "by_init.py": "",
    "far.py": "",
    "near.py": "import backbench.far",
    "alone.py": "",
}
IMPORTS = {
    "a_module_of_the_package": ("start.py", "from backbench import near", {"near.py", "far.py"}),
    "a_name_of_a_module": ("start.py", "from backbench.near import name", {"near.py", "far.py"}),
    "a_dotted_module": ("start.py", "import backbench.near as other, os", {"near.py", "far.py"}),
    "in_a_function": ("start.py", "def f():\n    from backbench import near", {"near.py", "far.py"}),
    "for_type_checking": ("start.py", "if TYPE_CHECKING:\n    from backbench.far import F", {"far.py"}),
    "of_a_folder": ("start.py", "from backbench.inner import name", {"inner/__init__.py", "by_init.py"}),
    "beside_it": ("inner/start.py", "from .beside import name", {"inner/beside.py", "inner/__init__.py", "by_init.py"}),
    "above_it": ("inner/start.py", "from .. import far", {"far.py", "inner/__init__.py", "by_init.py"}),
    "of_others": ("start.py", "import backbenches.near, near\nfrom numpy import near", set()),
}


def package_of(folder: Path, sources: dict[str, str]) -> Path:
    for name, text in sources.items():
        file = folder / "backbench" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    return folder / "backbench"


@pytest.mark.parametrize("form", IMPORTS)
def test_every_form_of_import_is_followed(tmp_path: Path, form: str) -> None:
    start, text, needed = IMPORTS[form]
    package = package_of(tmp_path, {**SOURCES, start: text})
    found = {file.relative_to(package).as_posix() for file in imported_modules(package / start, package)}
    assert found == {"__init__.py", start, *needed}


def test_a_program_beside_the_package_is_followed_into_it(tmp_path: Path) -> None:
    package = package_of(tmp_path, SOURCES)
    program = tmp_path / "program.py"
    program.write_text("from backbench.near import name", encoding="utf-8")
    needed = {package / name for name in ("__init__.py", "near.py", "far.py")}
    assert imported_modules(program, package) == {program, *needed}


def test_a_constructor_that_a_configuration_names_is_found() -> None:
    named = named_modules("backbench.backbones.resnext.ResNeXt50", "keras.applications.VGG16")
    assert named == [PACKAGE / name for name in ("__init__.py", "backbones/__init__.py", "backbones/resnext.py")]


@pytest.fixture(scope="module")
def key_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., dict[str, str]]:
    """The keys of the code of stages and others in a copy of the package one file of which was edited."""

    def keys(module: str = "runtime/errors.py", edit: Callable[[str], str] = lambda text: text) -> dict[str, str]:
        copy = tmp_path_factory.mktemp("copy") / PACKAGE.name
        shutil.copytree(PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__"))
        text = (copy / module).read_text(encoding="utf-8")
        (copy / module).write_text(edit(text), encoding="utf-8")
        return {name: code_fingerprint(copy / start, package=copy) for name, start in STARTS.items()}

    return keys


def with_statement(text: str) -> str:
    return text + "\nSTATEMENT = 1\n"


def with_remarks(text: str) -> str:
    return text.replace('"""', '"""Said otherwise. ', 1) + "\n# a comment\n"


def test_remarks_and_code_that_is_not_run_leave_a_key(key_of: Callable[..., dict[str, str]]) -> None:
    here = {name: code_fingerprint(PACKAGE / start) for name, start in STARTS.items()}
    assert key_of() == here, "wherever the package lies"
    assert key_of("adaptation/training.py", with_remarks) == here
    assert key_of("report/page.py", with_remarks) == here
    assert key_of("report/page.py", with_statement) == here


def test_a_statement_changes_the_keys_of_all_that_run_it(key_of: Callable[..., dict[str, str]]) -> None:
    here = key_of()

    def changed_by(module: str) -> set[str]:
        edited = key_of(module, with_statement)
        return {name for name in STARTS if edited[name] != here[name]}

    assert changed_by("adaptation/training.py") == {"sweep", "train", "trials", "seeds"}
    assert changed_by("tracking/cell_writer.py") == {"sweep", "train"}, "what was finished is not trained again"
    assert changed_by("search/search.py") == {"sweep", "trials"}
    assert changed_by("evaluation/metrics.py") == {"train", "seeds"}
    assert changed_by("adaptation/schedule.py") == {"sweep", "train", "trials", "seeds"}
    assert changed_by("backbones/graph.py") == set(STARTS)
    assert changed_by("data/arrays/augment.py") == set(STARTS)
