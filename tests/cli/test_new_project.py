"""`make new`: a folder of one's own, whole or not at all."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from backbench.cli import new_project
from backbench.cli.new_project import files_of, main
from tests.support.configs import PROJECT


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """Six images of two classes, in a folder whose name has a space; a link to a seventh that is not there."""
    folder = tmp_path / "my images"
    for label in ("0", "1"):
        (folder / label).mkdir(parents=True)
        for file in sorted((PROJECT / "assets/digits/train" / label).glob("*.png"))[:3]:
            shutil.copy(file, folder / label)
    (folder / "0/gone.png").symlink_to("nowhere.png")
    return folder


@pytest.fixture
def unknown_to_git(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody has told git who they are."""
    for name in [name for name in os.environ if name.startswith("GIT_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")


def said_by(folder: Path, *command: str) -> str:
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True).stdout


@pytest.mark.usefixtures("unknown_to_git")
def test_a_new_project_has_code_configuration_and_images_all_of_them_kept(
    tmp_path: Path, images: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "deep/own one"
    assert main([str(folder), str(images)]) == 0
    said = capfd.readouterr().out.splitlines()
    assert re.fullmatch(rf"{folder} has \d+ files of .*; next: cd '{folder}' && make repro", said[-1])
    assert any(line.startswith("ready   data in DVC") for line in said), "the doctor was here"
    assert said_by(folder, "git", "status", "--porcelain") == ""
    assert said_by(folder, "git", "log", "--format=%s") == "Begin with these images\n"
    assert not [line for line in said_by(folder, "dvc", "status", "data.dvc").splitlines() if "up to date" not in line]
    assert len(list((folder / "data").rglob("*.png"))) == 6
    assert "\ndataset: folder " in (folder / "conf/benchmark.yaml").read_text(encoding="utf-8")
    top = {path.name for path in folder.iterdir()}
    assert {"conf", "src", "pipelines", "dvc.yaml", "Makefile", "README.md", "data.dvc"} <= top
    assert not top & {"results", "dvc.lock", "tests", "bench", "docs", "work", ".venv", "developing.mk"}
    assert not list((tmp_path / "deep").glob(".*"))


@pytest.mark.parametrize("place", ["among the images", "elsewhere"])
def test_a_file_of_labels_goes_with_the_images(
    tmp_path: Path, images: Path, capfd: pytest.CaptureFixture[str], place: str
) -> None:
    rows = [
        f"{file.relative_to(images).as_posix()},{number % 2}"
        for number, file in enumerate(images.rglob("*/[0-9]*.png"))
    ]
    labels = (images if place == "among the images" else tmp_path) / "the labels.csv"
    labels.write_text("\n".join(["path,label", *rows]), encoding="utf-8")
    folder = tmp_path / "own"
    assert main([str(folder), str(images), str(labels)]) == 0
    assert (folder / "data/the labels.csv").read_text(encoding="utf-8") == labels.read_text(encoding="utf-8")
    assert '\nlabels: "the labels.csv" ' in (folder / "conf/dataset/folder.yaml").read_text(encoding="utf-8")
    assert "file of labels" not in capfd.readouterr().err


def test_the_files_of_a_clone_are_those_of_an_archive_without_what_is_ignored(tmp_path: Path) -> None:
    ignored = {".gitignore": "/work\n*.tmp\n", "e/.gitignore": "f"}
    for name, text in {**ignored, "a b/é.py": "", "work/c": "", "d.tmp": ""}.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    (tmp_path / "e/f").touch()
    archive = files_of(tmp_path)
    assert archive == [".gitignore", "a b/é.py", "e/.gitignore"]
    said_by(tmp_path, "git", "init")
    said_by(tmp_path, "git", "add", "--all")
    assert files_of(tmp_path) == archive


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ([], ["expected DIR and IMAGES; write: make new DIR="]),
        (["", "my images"], ["expected DIR and IMAGES"]),
        (["my images", "my images"], ["expected a new folder, found my images there"]),
        (["my images/new", "my images"], ["expected a folder outside the images"]),
        (["new", "my images", "labels.csv"], ["expected a file of labels, found none at labels.csv"]),
        (["my images", "nothing"], ["expected a new folder", "expected a folder of images, found none at nothing"]),
        ([str(PROJECT / "own"), "my images"], [f"expected a folder outside {PROJECT}"]),
    ],
    ids=["nothing", "empty", "there", "inside", "no_labels", "two_mistakes", "in_the_checkout"],
)
def test_what_cannot_be_made_is_told_at_once(
    tmp_path: Path,
    images: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    given: list[str],
    told: list[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        main(given)
    assert ended.value.code == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == len(told)
    assert all(line.startswith(f"error: {begin}") for line, begin in zip(lines, told, strict=True))
    assert [path.name for path in tmp_path.iterdir()] == [images.name]


def test_where_a_command_fails_nothing_is_left(
    tmp_path: Path, images: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(new_project, "sys", type("Broken", (), {"executable": "false", "exit": None}))
    with pytest.raises(SystemExit):
        main([str(tmp_path / "own"), str(images)])
    assert (
        "error: expected `false -m dvc add --quiet data` to work in a new project, found: no word"
        in capsys.readouterr().err
    )
    assert [path.name for path in tmp_path.iterdir()] == [images.name]
