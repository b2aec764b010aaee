"""Every file found gets one verdict; a picture stands at most once among the usable ones."""

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from backbench.data.ingest.pixels import PixelRule
from backbench.data.ingest.scan import FILES_PER_CHUNK, examine, look_at_headers, without_duplicates
from backbench.data.ingest.tree import Examined
from backbench.data.ingest.walk import walk
from backbench.runtime.errors import DatasetError
from tests.support.image_folders import config_for, make_folder, picture, save

RULE = PixelRule(side_pixels=16, resize="crop", depth_bits=None)


def verdicts(folder: Path, **changes: object) -> dict[str, str]:
    config = config_for(folder, **changes)
    files = [file for file, _ in examine(walk(folder, config_for(folder)).files, config, RULE)]
    return {file.path: file.verdict for file in without_duplicates(files)}


def file_named(path: str, *, pixel_digest: str, own_split: str = "") -> Examined:
    label = path.split("/")[-2]
    return Examined(path, label, own_split, "0", pixel_digest, 16, 16, "used")


def test_class_folders_are_classes(tmp_path: Path) -> None:
    tree = walk(make_folder(tmp_path, 2, ("dog", "cat")), config_for(tmp_path))
    assert tree.classes == ("cat", "dog")
    assert tree.own_splits == frozenset()
    assert [listed.path for listed in tree.files] == ["cat/000.png", "cat/001.png", "dog/000.png", "dog/001.png"]


def test_split_folders_are_honoured(tmp_path: Path) -> None:
    for split in ("train", "Validation", "test"):
        make_folder(tmp_path / split, 1)
    tree = walk(tmp_path, config_for(tmp_path))
    assert tree.classes == ("cat", "dog")
    assert tree.own_splits == {"train", "val", "test"}
    assert {listed.own_split for listed in tree.files} == {"train", "val", "test"}


def test_folders_below_a_class_belong_to_it(tmp_path: Path) -> None:
    make_folder(tmp_path, 1)
    save(picture(5), tmp_path / "cat" / "indoors" / "sofa" / "a.png")
    labels = {listed.path: listed.label for listed in walk(tmp_path, config_for(tmp_path)).files}
    assert labels["cat/indoors/sofa/a.png"] == "cat"


def test_what_is_not_entered_has_a_row_of_its_own(tmp_path: Path) -> None:
    make_folder(tmp_path, 1)
    for left in (
        "cat/@eaDir/000.png/thumb.png",
        "lost+found/a.png",
        "#Recycle/cat/a.png",
        "dog/.cache/a.png",
        ".b.png",
    ):
        save(picture(9), tmp_path / left)
    tree = walk(tmp_path, config_for(tmp_path))
    assert tree.classes == ("cat", "dog")
    assert [listed.path for listed in tree.files] == ["cat/000.png", "dog/000.png"]
    assert {file.path: file.verdict for file in tree.left_out} == {
        "#Recycle/": "litter",
        ".b.png": "hidden",
        "cat/@eaDir/": "litter",
        "dog/.cache/": "hidden",
        "lost+found/": "litter",
    }


def test_skipped_folders_are_left_out_at_any_depth_and_an_unknown_one_is_named(tmp_path: Path) -> None:
    make_folder(tmp_path / "train", 1, ("cat", "dog", "unknown"))
    make_folder(tmp_path / "test", 1, ("all",))
    tree = walk(tmp_path, config_for(tmp_path, skip_folders=["test", "train/unknown", "tset"]))
    assert tree.classes == ("cat", "dog")
    assert tree.own_splits == {"train"}
    assert {file.path: file.verdict for file in tree.left_out} == {
        "test/": "skipped by skip_folders",
        "train/unknown/": "skipped by skip_folders",
    }
    assert tree.problems == (
        f"conf/dataset/tiny.yaml: skip_folders: expected folders of {tmp_path}, found no tset; correct it",
    )


def test_unicode_names_are_kept(tmp_path: Path) -> None:
    make_folder(tmp_path, 1, ("Katze 🐈", "犬"))
    save(picture(77), tmp_path / "犬" / 'naïve, "quoted"\nname.png')
    found = verdicts(tmp_path)
    assert found['犬/naïve, "quoted"\nname.png'] == "used"
    assert walk(tmp_path, config_for(tmp_path)).classes == ("Katze 🐈", "犬")


def test_names_that_are_no_utf8_are_spelled_out(tmp_path: Path) -> None:
    make_folder(tmp_path, 1)
    save(picture(3), tmp_path / "a.png").rename(os.fsdecode(os.fsencode(tmp_path / "cat") + b"/\xff.png"))
    assert verdicts(tmp_path)["cat/\\xff.png"] == "used"


def test_every_file_has_a_verdict(tmp_path: Path) -> None:
    make_folder(tmp_path, 1)
    save(picture(5, size=(4, 40)), tmp_path / "cat" / "tiny.png")
    save(picture(6, size=(40, 40)), tmp_path / "cat" / "huge.png")
    (tmp_path / "cat" / "notes.txt").write_text("fluffy", encoding="utf-8")
    (tmp_path / "cat" / "cut.png").write_bytes((tmp_path / "cat" / "000.png").read_bytes()[:-300])
    (tmp_path / "cat" / "dangling.png").symlink_to(tmp_path / "nowhere.png")
    os.mkfifo(tmp_path / "cat" / "pipe.png")
    save(picture(7), tmp_path / "stray.png")
    assert verdicts(tmp_path, max_image_pixels=1000) == {
        "cat/000.png": "used",
        "cat/cut.png": "unreadable",
        "cat/dangling.png": "unreadable",
        "cat/huge.png": "too large",
        "cat/notes.txt": "not an image",
        "cat/pipe.png": "unreadable",
        "cat/tiny.png": "too small",
        "dog/000.png": "used",
        "stray.png": "not in a class folder",
    }


def test_files_stay_in_order_over_chunks_and_threads(tmp_path: Path) -> None:
    make_folder(tmp_path, FILES_PER_CHUNK)
    files = walk(tmp_path, config_for(tmp_path)).files
    seen = list(examine(files, config_for(tmp_path), RULE))
    assert [file.path for file, _ in seen] == [listed.path for listed in files]
    for (_, decoded), listed in zip(seen, files, strict=True):
        np.testing.assert_array_equal(decoded.pixels, np.asarray(Image.open(listed.file)))


def test_equal_pixels_are_duplicates_whatever_the_format(tmp_path: Path) -> None:
    make_folder(tmp_path, 1)
    save(picture(5), tmp_path / "cat" / "a.png")
    save(picture(5), tmp_path / "cat" / "b.bmp")
    assert verdicts(tmp_path)["cat/a.png"] == "used"
    assert verdicts(tmp_path)["cat/b.bmp"] == "exact duplicate of cat/a.png"


def test_equal_bytes_of_another_shape_are_no_duplicates(tmp_path: Path) -> None:
    make_folder(tmp_path, 1)
    for size in ((16, 32), (32, 16)):
        save(Image.new("RGB", size, "red"), tmp_path / "cat" / f"{size[0]}.png")
    assert set(verdicts(tmp_path).values()) == {"used"}


def test_a_duplicate_never_stands_in_two_splits() -> None:
    paths = ("train/cat/a", "test/cat/b", "val/cat/c", "test/cat/d")
    files = [file_named(path, pixel_digest="same", own_split=path.split("/")[0]) for path in paths]
    assert {file.path: file.verdict for file in without_duplicates(files)} == {
        "test/cat/b": "used",
        "test/cat/d": "exact duplicate of test/cat/b",
        "train/cat/a": "exact duplicate of test/cat/b",
        "val/cat/c": "exact duplicate of test/cat/b",
    }


def test_a_picture_under_two_classes_is_used_under_none() -> None:
    paths = ("cat/a", "cat/b", "dog/c")
    judged = without_duplicates([file_named(path, pixel_digest="same") for path in paths])
    assert {file.path: file.verdict for file in judged} == {
        "cat/a": "conflicting label with dog/c",
        "cat/b": "conflicting label with dog/c",
        "dog/c": "conflicting label with cat/a",
    }


def test_a_linked_class_folder_is_entered_and_a_loop_ends(tmp_path: Path) -> None:
    make_folder(tmp_path / "elsewhere", 1)
    folder = tmp_path / "data"
    folder.mkdir()
    for name in ("cat", "dog"):
        (folder / name).symlink_to(tmp_path / "elsewhere" / name)
    (tmp_path / "elsewhere" / "cat" / "loop").symlink_to(folder)
    assert verdicts(folder) == {"cat/000.png": "used", "dog/000.png": "used"}


def test_a_missing_folder_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="nowhere: expected a folder of class folders, found none; "):
        walk(tmp_path / "nowhere", config_for(tmp_path))


def test_headers_tell_what_pixels_would_and_take_damage_for_usable(tmp_path: Path) -> None:
    make_folder(tmp_path, 1)
    save(picture(5, size=(4, 40)), tmp_path / "cat" / "tiny.png")
    save(picture(6, size=(60, 60)), tmp_path / "cat" / "huge.png")
    (tmp_path / "cat" / "notes.txt").write_text("fluffy", encoding="utf-8")
    (tmp_path / "cat" / "cut.png").write_bytes((tmp_path / "cat" / "000.png").read_bytes()[:-300])
    os.mkfifo(tmp_path / "cat" / "pipe.png")
    config = config_for(tmp_path, max_image_pixels=1000)
    assert {file.path: file.verdict for file in look_at_headers(walk(tmp_path, config).files, config)} == {
        "cat/000.png": "used",
        "cat/cut.png": "used",
        "cat/huge.png": "too large",
        "cat/notes.txt": "not an image",
        "cat/pipe.png": "unreadable",
        "cat/tiny.png": "too small",
        "dog/000.png": "used",
    }
