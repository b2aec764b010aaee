"""What lies under a final name is whole: on the disk before the name is, and refused in one line where it is not."""

import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from backbench.data.arrays.file_formats import (
    read_array,
    read_csv,
    read_json,
    read_yaml,
    write_array,
    write_csv,
    write_json,
    write_yaml,
)
from backbench.evaluation.predictions import Predictions, read_predictions, write_predictions
from backbench.runtime.atomic_files import put_folder_in_place, write_text
from backbench.runtime.download import PartFile
from backbench.runtime.errors import ArtifactError


@pytest.fixture
def events(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """Note every file that the disk is made to hold, and every renaming, in order."""
    noted: list[tuple[str, str]] = []
    fsync, rename, replace = os.fsync, os.rename, os.replace

    def noting(name: str, original: Callable[..., None]) -> Callable[..., None]:
        def noted_call(source: Any, target: Any) -> None:
            noted.append((name, Path(target).name))
            original(source, target)

        return noted_call

    def synced(descriptor: int) -> None:
        noted.append(("sync", Path(f"/proc/self/fd/{descriptor}").readlink().name))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(os, "rename", noting("rename", rename))
    monkeypatch.setattr(os, "replace", noting("rename", replace))
    return noted


def test_a_file_is_on_the_disk_before_its_name_and_the_name_after(
    tmp_path: Path, events: list[tuple[str, str]]
) -> None:
    write_text(tmp_path / "a.txt", "whole")
    assert events == [("sync", f".{os.getpid()}.a.txt"), ("rename", "a.txt"), ("sync", tmp_path.name)]


def test_a_download_is_on_the_disk_before_its_name(tmp_path: Path, events: list[tuple[str, str]]) -> None:
    part = PartFile(tmp_path / "a.h5", "https://example.org/a.h5")
    part.path.write_bytes(b"whole")
    part.put_in_place()
    assert events[:2] == [("sync", "a.h5.part"), ("rename", "a.h5")]


def test_all_of_a_folder_is_on_the_disk_before_its_name(tmp_path: Path, events: list[tuple[str, str]]) -> None:
    (tmp_path / "made/deep").mkdir(parents=True)
    (tmp_path / "made/deep/a.npy").write_bytes(b"whole")
    (tmp_path / "there").mkdir()
    (tmp_path / "there/old").touch()
    put_folder_in_place(tmp_path / "made", tmp_path / "there")
    last = events.index(("rename", "there"))
    assert {("sync", "a.npy"), ("sync", "deep")} <= set(events[:last])
    assert events[last + 1 :] == [("sync", tmp_path.name)]
    assert [path.name for path in (tmp_path / "there").rglob("*")] == ["deep", "a.npy"]


def test_a_folder_comes_whole_from_another_file_system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rename = os.rename

    def only_within(source: Any, target: Any) -> None:
        if Path(source).parent != Path(target).parent:
            raise OSError(errno.EXDEV, "Invalid cross-device link")
        rename(source, target)

    def cut_short(source: Any, target: Any, **_: Any) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "rename", only_within)
    (tmp_path / "state/made").mkdir(parents=True)
    (tmp_path / "state/made/a.npy").write_bytes(b"new")
    (tmp_path / "there").mkdir()
    (tmp_path / "there/a.npy").write_bytes(b"old")
    with monkeypatch.context() as patched:
        patched.setattr(shutil, "copytree", cut_short)
        with pytest.raises(OSError, match="Input/output error"):
            put_folder_in_place(tmp_path / "state/made", tmp_path / "there")
    assert (tmp_path / "there/a.npy").read_bytes() == b"old"
    put_folder_in_place(tmp_path / "state/made", tmp_path / "there")
    assert (tmp_path / "there/a.npy").read_bytes() == b"new"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["state", "there"]


def test_a_file_system_that_cannot_sync_a_folder_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unsupported(descriptor: int) -> None:
        raise OSError(errno.EINVAL, "Invalid argument")

    monkeypatch.setattr(os, "fsync", unsupported)
    write_text(tmp_path / "a.txt", "whole")
    assert (tmp_path / "a.txt").read_text() == "whole"


def written_predictions(path: Path) -> None:
    predictions = Predictions.of_seeds({0: np.full((4, 2), 0.5, "float32")}, np.zeros(4, "int32"))
    write_predictions(path, {"test": predictions})


KINDS: dict[str, tuple[Callable[[Path], None], Callable[..., object]]] = {
    "json": (lambda path: write_json(path, {"a": [1, 2]}), read_json),
    "yaml": (lambda path: write_yaml(path, {"a": "{b"}), read_yaml),
    "csv": (lambda path: write_csv(path, [dict.fromkeys("abc", 1)], "abc"), read_csv),
    "array": (lambda path: write_array(path, np.arange(5)), read_array),
    "predictions": (written_predictions, read_predictions),
}


@pytest.mark.parametrize("share", [0.0, 0.8])
@pytest.mark.parametrize("kind", KINDS)
def test_a_file_that_is_cut_off_is_one_line_that_says_what_to_run(tmp_path: Path, kind: str, share: float) -> None:
    write, read = KINDS[kind]
    path = tmp_path / "a"
    write(path)
    assert read(path, made_by="train") is not None
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    with pytest.raises(ArtifactError, match=r"expected .* found .* run `dvc repro --force train`"):
        read(path, made_by="train")
