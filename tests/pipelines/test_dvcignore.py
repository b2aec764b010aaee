"""What tools, editors and systems leave in a folder that DVC hashes runs nothing again."""

from pathlib import Path

import pytest
from dvc.repo import Repo

from backbench.data.ingest.listing import PASSED_OVER
from backbench.data.ingest.walk import walk
from tests.support.configs import PROJECT
from tests.support.image_folders import config_for, make_folder, picture, save

CODE = (
    "src/backbench/config/config.py",
    "src/backbench/data/ingest/scan.py",
    "src/backbench/report/page.css",
    "pipelines/embed.py",
)
LEFT_BESIDE_CODE = ("__pycache__/scan.cpython-311.pyc", ".scan.py.swp", ".#scan.py", "scan.py~", "scan.py.orig", "tags")
# By macOS, Windows, GNOME, KDE, network file systems, Jupyter and editors.
LEFT_BESIDE_IMAGES = (
    ".DS_Store",
    "._one.png",
    "Thumbs.db",
    "desktop.ini",
    ".directory",
    ".nfs0000000001",
    "one.png~",
    ".AppleDouble/one.png",
    ".git/index",
    ".idea/workspace.xml",
    "__pycache__/one.pyc",
)


@pytest.fixture(scope="module")
def ignored() -> object:
    with Repo(str(PROJECT)) as repo:
        yield lambda path: repo.dvcignore.is_ignored_file(str(PROJECT / path))


@pytest.mark.parametrize("path", CODE)
def test_code_is_hashed(ignored: object, path: str) -> None:
    assert not ignored(path)  # type: ignore[operator]


@pytest.mark.parametrize("folder", ["src/backbench/data", "src/backbench/report", "conf/backbone", "conf/weights"])
@pytest.mark.parametrize("name", LEFT_BESIDE_CODE)
def test_what_lies_beside_code_is_not(ignored: object, folder: str, name: str) -> None:
    assert ignored(f"{folder}/{name}")  # type: ignore[operator]


@pytest.mark.parametrize("name", LEFT_BESIDE_IMAGES)
def test_images_are_hashed_and_what_lies_beside_them_is_neither_hashed_nor_scanned(
    ignored: object, name: str, tmp_path: Path
) -> None:
    assert not ignored("data/cat/one.png")  # type: ignore[operator]
    assert ignored(f"data/cat/{name}")  # type: ignore[operator]
    config = config_for(tmp_path)
    before = walk(make_folder(tmp_path, num_per_class=1), config)
    (tmp_path / "cat" / name).parent.mkdir(exist_ok=True)
    (tmp_path / "cat" / name).touch()
    assert walk(tmp_path, config) == before


# By a Synology and a QNAP storage, macOS's archives, Linux, Windows and Jupyter: folders that hold images.
LITTER = (
    "@eaDir",
    "#recycle",
    ".@__thumb",
    "__MACOSX",
    "lost+found",
    ".Trash-1000",
    "$RECYCLE.BIN",
    ".ipynb_checkpoints",
)


@pytest.mark.parametrize("name", [*LITTER, ".cache"])
def test_what_has_a_row_in_the_manifest_is_hashed(ignored: object, name: str, tmp_path: Path) -> None:
    """The manifest is an output: what another clone does not have must not stand in it."""
    make_folder(tmp_path, num_per_class=1)
    save(picture(9), tmp_path / "cat" / name / "one.png")
    (row,) = walk(tmp_path, config_for(tmp_path)).left_out
    assert (row.path, row.verdict) == (f"cat/{name}/", "hidden" if name == ".cache" else "litter")
    assert not ignored(f"data/{name}/one.png")  # type: ignore[operator]
    assert not ignored(f"data/cat/{name}/one.png")  # type: ignore[operator]


def test_the_scan_passes_over_what_dvc_ignores_and_nothing_else() -> None:
    lines = (PROJECT / ".dvcignore").read_text(encoding="utf-8").splitlines()
    of_images = {line.rstrip("/") for line in lines if line and not line.startswith(("#", "/", "!"))}
    by_dvc_itself = {".git", ".hg", ".dvc"}
    assert set(PASSED_OVER) == (of_images - {".ipynb_checkpoints"}) | by_dvc_itself
