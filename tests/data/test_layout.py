"""What top folders are is found out where one reading is left, and asked otherwise: never guessed."""

from pathlib import Path

import pytest

from backbench.data.ingest.layout import find_layout
from backbench.data.ingest.listing import list_folder
from backbench.data.ingest.top_folders import split_word
from tests.support.image_folders import config_for

DATA = Path("data")


def laid_out(folder: Path, *paths: str, **changes: object) -> tuple[dict[str, str], tuple[str, ...], str]:
    """Touch files, `cat/3` being three images in cat, and return the splits, the classes and the problems."""
    for path in paths:
        where, _, number = path.rpartition("/")
        (folder / where).mkdir(parents=True, exist_ok=True)
        for index in range(int(number)):
            (folder / where / f"{index}.jpg").touch()
    layout = find_layout(list_folder(folder), DATA, config_for(DATA, **changes))
    return dict(layout.split_of), layout.classes, "\n".join(layout.problems)


@pytest.mark.parametrize(
    ("name", "split"),
    [
        *[(name, "train") for name in ("train", "TRAIN", "Trains", "Training", "trainings", "train_set", "Train")],
        *[(name, "val") for name in ("val", "Vals", "valid", "Validation", "dev", "DEV", "validation-set")],
        *[
            (name, "test")
            for name in ("test", "Tests", "Testing", "eval", "Evaluation", "holdout", "hold-out", "Hold_Out")
        ],
        *[
            (name, "")
            for name in ("trainer", "valley", "testament", "device", "contest", "", "s", "cat", "steam train")
        ],
    ],
)
def test_a_split_word_in_any_case_and_number(name: str, split: str) -> None:
    assert split_word(name) == split


@pytest.mark.parametrize(
    ("paths", "splits"),
    [
        (("Training/a/1", "Training/b/1", "Test/a/1", "Test/b/1"), {"Training": "train", "Test": "test"}),
        (("train/a/1", "train/b/1", "Hold-Out/a/1"), {"train": "train", "Hold-Out": "test"}),
        (("TRAIN/a/1", "TRAIN/b/1", "dev/a/1", "eval/b/1"), {"TRAIN": "train", "dev": "val", "eval": "test"}),
        (("train/a/1", "train/b/1"), {"train": "train"}),
        (("train/a/5", "train/b/5", "train/1"), {"train": "train"}),  # with a stray beside the classes
        (("train/a/5", "train/b/5", "val/a/0"), {"train": "train", "val": "val"}),
    ],
)
def test_split_folders_hold_class_folders(tmp_path: Path, paths: tuple[str, ...], splits: dict[str, str]) -> None:
    assert laid_out(tmp_path, *paths) == (splits, ("a", "b"), "")


@pytest.mark.parametrize(
    ("paths", "classes"),
    [
        (("bus/1", "car/1", "train/1"), ("bus", "car", "train")),
        (("bus/1", "car/1", "Trains/1", "Trains/steam/1"), ("Trains", "bus", "car")),
        (("cat/1", "cat/indoors/1", "dog/1", "dog/indoors/1"), ("cat", "dog")),
        (("cat/left/1", "dog/right/1"), ("cat", "dog")),
    ],
)
def test_class_folders_hold_images(tmp_path: Path, paths: tuple[str, ...], classes: tuple[str, ...]) -> None:
    assert laid_out(tmp_path, *paths) == ({}, classes, "")


AMBIGUOUS = (
    ("train/a/1", "train/b/1", "bus/1", "car/1"),
    ("bus/old/1", "bus/new/1", "train/old/1", "train/new/1"),
    ("cat/1", "dog/1", "test/1"),
    ("train/1", "test/1"),
    ("seg_train/seg_train/a/1", "seg_test/seg_test/a/1"),
    ("Lernen/a/1", "Lernen/b/1", "Pruefen/a/1", "Pruefen/b/1"),
    ("cat/train/1", "cat/test/1", "dog/train/1", "dog/test/1"),
)


@pytest.mark.parametrize("paths", AMBIGUOUS)
def test_what_has_two_readings_names_the_key_that_settles_it(tmp_path: Path, paths: tuple[str, ...]) -> None:
    assert "`layout: classes`" in laid_out(tmp_path, *paths)[2]
    tops = {path.split("/")[0] for path in paths}
    assert laid_out(tmp_path, layout="classes") == ({}, tuple(sorted(tops)), "")


@pytest.mark.parametrize(
    ("paths", "problems"),
    [
        (
            ("train/a/1", "train/b/1", "test/a/1", "bus/1", "car/1"),
            "data: expected split folders alone, or class folders alone, found the split folders test, train beside "
            "bus, car; in conf/dataset/tiny.yaml set `layout: classes` if all of them are classes, or leave out "
            "what is "
            "neither by `skip_folders: [bus, car]`",
        ),
        (
            ("train/a/1", "train/b/1", "test/3"),
            "data/test: expected the class folders of train, found 3 images and no class folder: a test set without "
            "labels, as competitions have it; set `skip_folders: [test]` in conf/dataset/tiny.yaml, and test is taken "
            "from train",
        ),
        (
            ("train/a/1", "train/b/1", "Test/unknown/3", "val/2"),
            "data/Test: expected the class folders of train, found 3 images in unknown, which train has not: a "
            "test set "
            "without labels, as competitions have it; set `skip_folders: [Test]` in conf/dataset/tiny.yaml, and "
            "test is "
            "taken from train\n"
            "data/val: expected the class folders of train, found 2 images and no class folder: a val set without "
            "labels, as competitions have it; set `skip_folders: [val]` in conf/dataset/tiny.yaml, and val is taken "
            "from train",
        ),
        (("train/a/1", "train/b/1", "val/0"), "data/val: expected class folders, found nothing; remove it, or fill it"),
        (
            ("train/3", "test/a/1", "test/b/1"),
            "data/train: expected class folders, found 3 images and no class folder; make a folder for each class",
        ),
        (
            ("cat/1", "dog/1", "test/7"),
            "data/test: expected a class or a split, found 7 images and no class folder beside the class folders cat, "
            "dog; in conf/dataset/tiny.yaml set `layout: classes` if it is a class, or `skip_folders: [test]` if it is "
            "a test set without labels",
        ),
        (
            ("train/a/1", "train/b/1", "test/9", "test/more/2"),
            "data/test: expected the class folders of train, found 9 images beside more: a test set without labels, as "
            "competitions have it; set `skip_folders: [test]` in conf/dataset/tiny.yaml, and test is taken from train",
        ),
        (
            ("val/a/1", "val/b/1", "test/a/1"),
            "data: expected train beside test, val, found none; add it, or set `layout: classes`",
        ),
        (
            ("train/a/1", "train/b/1", "val/a/1", "Validation/b/1"),
            "data: expected one folder for val, found Validation, val; join them",
        ),
        (
            ("my-dataset/train/a/1", "my-dataset/test/a/1"),
            "data: expected at least 2 class folders, found only my-dataset, which holds test, train; if that is the "
            "data set, set `path: data/my-dataset` in conf/dataset/tiny.yaml",
        ),
        (
            ("train/pictures/a/1", "train/pictures/b/1", "test/pictures/a/1", "test/pictures/b/1"),
            "data/test: expected class folders, found only pictures, which holds a, b; move these up\n"
            "data/train: expected class folders, found only pictures, which holds a, b; move these up",
        ),
        (("cat/3",), "data: expected at least 2 class folders, found only cat; make one folder per class"),
        (("train/cat/3",), "data/train: expected at least 2 class folders, found only cat; make one folder per class"),
        ((), "data: expected at least 2 class folders, found none; make one folder per class"),
    ],
)
def test_a_problem_says_what_is_there_and_what_to_do(tmp_path: Path, paths: tuple[str, ...], problems: str) -> None:
    assert laid_out(tmp_path, *paths)[2] == problems


def test_layout_splits_takes_no_folder_for_a_class(tmp_path: Path) -> None:
    problems = "data: expected train beside cat, dog, found none; add it, or set `layout: classes`"
    assert laid_out(tmp_path, "cat/1", "dog/1", layout="splits") == ({}, (), problems)


def test_many_names_are_cut_off(tmp_path: Path) -> None:
    problems = laid_out(tmp_path, "train/a/1", "train/b/1", *(f"c{number:03}/1" for number in range(40)))[2]
    assert "c029, 10 more;" in problems
    assert "c030" not in problems
