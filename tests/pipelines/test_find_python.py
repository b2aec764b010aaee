"""The Python that makes the environment is checked before anything is made."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.support.configs import PROJECT

SCRIPT = PROJECT / "pipelines/find_python.sh"
REAL = str(Path(getattr(sys, "_base_executable", sys.executable)))


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only folder of the PATH beside the system's tools, in a project; no Python is there."""
    monkeypatch.chdir(tmp_path)
    shutil.copy(PROJECT / "pyproject.toml", "pyproject.toml")
    folder = tmp_path / "programs"
    folder.mkdir()
    for tool in ("sed", "sh"):
        (folder / tool).symlink_to(str(shutil.which(tool)))
    monkeypatch.setenv("PATH", str(folder))
    return folder


def put(place: Path, script: str) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(f"#!{shutil.which('sh', path='/bin:/usr/bin')}\n{script}\n", encoding="utf-8")
    place.chmod(0o755)


def a_python(place: Path) -> None:
    put(place, f'exec {REAL} "$@"')


def found(*named: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        ["sh", str(SCRIPT), *named], capture_output=True, text=True, env={**os.environ, **environment}, check=False
    )


def test_versions_are_those_of_pyproject(programs: Path) -> None:
    asked = tomllib.loads(Path("pyproject.toml").read_text(encoding="utf-8"))["project"]["requires-python"]
    lowest, above = map(int, re.findall(r"3\.(\d+)", asked))
    assert f"expected Python 3.{lowest} to 3.{above - 1}, found that python3 is not there" in found().stderr


def test_another_version_is_refused_in_one_line_that_names_one_that_fits(programs: Path) -> None:
    put(programs / "python3.10", "echo no is 3.10.13")
    a_python(programs / "python3.12")
    refused = found("python3.10")
    assert refused.returncode == 2
    assert refused.stdout == ""
    assert refused.stderr == (
        "error: expected Python 3.11 to 3.13, found that python3.10 is 3.10.13; run `make repro PYTHON=python3.12`\n"
    )


def test_the_retry_uses_what_is_named_though_the_environment_has_another(programs: Path) -> None:
    put(Path(".venv/bin/python"), "echo ok /first")
    put(programs / "python3.12", "echo ok /second")
    assert found().stdout == "/first\n"
    assert found("python3.12").stdout == "/second\n"


@pytest.mark.parametrize("environment", ["absent", "dangling", "of another version", "does not start"])
def test_where_none_is_named_and_the_environment_has_none_that_fits_the_path_is_searched(
    programs: Path, environment: str
) -> None:
    python = Path(".venv/bin/python")
    python.parent.mkdir(parents=True)
    if environment == "dangling":
        python.symlink_to("/nowhere/python")
    elif environment == "of another version":
        put(python, "echo no is 3.10.1")
    elif environment == "does not start":
        put(python, "exit 127")
    put(programs / "python3", "echo no is 3.9.2")
    a_python(programs / "python3.13")
    assert found().stdout == f"{REAL}\n"


def test_the_environment_on_the_path_is_no_choice_of_the_user(
    programs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(Path(".venv/bin/python3"), "echo no is 3.10.1")
    a_python(programs / "python3")
    monkeypatch.setenv("PATH", f"{tmp_path}/.venv/bin:{programs}")
    assert found().stdout == f"{REAL}\n"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ("sys.version_info = (3, 14, 0); import platform; platform.python_version = lambda: '3.14.0'", "is 3.14.0"),
        ("sys.modules['ensurepip'] = None", "lacks ensurepip (on Debian and Ubuntu: apt-get install python3."),
        ("sys.modules['sqlite3'] = None", "lacks sqlite3"),
        ("sys.maxsize = 2**31 - 1", "has 32 bits"),
        ("import platform; platform.python_implementation = lambda: 'PyPy'", "is PyPy"),
        ("import sysconfig; sysconfig.get_config_var = lambda name: name == 'Py_GIL_DISABLED'", "is free-threaded"),
        (
            "import sysconfig; sysconfig.get_config_var = {'HOST_GNU_TYPE': 'x86_64-pc-linux-musl'}.get",
            "is built on musl",
        ),
    ],
)
def test_an_interpreter_that_the_packages_are_not_for_is_refused_with_the_reason(
    programs: Path, tmp_path: Path, change: str, reason: str
) -> None:
    (tmp_path / "sitecustomize.py").write_text(f"import sys\n{change}\n", encoding="utf-8")
    a_python(programs / "python3")
    refused = found(PYTHONPATH=str(tmp_path))
    assert refused.returncode == 2
    assert f"found that python3 {reason}" in refused.stderr
    assert refused.stderr.count("\n") == 1
    assert "install Python 3.11 or later" in refused.stderr


def test_make_refuses_before_it_makes_anything(programs: Path, tmp_path: Path) -> None:
    shutil.copy(PROJECT / "Makefile", "Makefile")
    shutil.copytree(SCRIPT.parent, "pipelines")
    put(programs / "python3.10", "echo no is 3.10.13")
    path = f"{programs}:/usr/bin:/bin"
    command = [str(shutil.which("make", path=path)), "repro", "PYTHON=python3.10"]
    refused = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "PATH": path}, check=False)
    assert refused.returncode == 2
    assert "found that python3.10 is 3.10.13" in refused.stderr
    assert not Path(".venv").exists()
