"""Every class that has too few images is named, with all the others, in a line that says what to do."""

import pytest

from backbench.data.ingest.shortages import shortages
from backbench.data.ingest.split import assign_splits
from backbench.data.ingest.tree import Examined
from tests.support.image_folders import config_for
from tests.support.split_files import CLASSES, FOLDER, files_of

CONF = "conf/dataset/tiny.yaml"


@pytest.mark.parametrize(
    ("files", "own_splits", "changes", "lines"),
    [
        (
            files_of(9, classes=("cat",)),
            (),
            {},
            [
                "expected JPEG, PNG, TIFF, BMP, GIF, WebP or AVIF images in every class, found none that can be used "
                f"in dog (0 of 0 files); add images, or leave the folders out by skip_folders in {CONF}"
            ],
        ),
        (
            files_of(2),
            (),
            {},
            [
                "expected at least 3 usable images in every class, for train, val, test, found fewer in 2 classes: "
                f"cat (2), dog (2); add images, or leave such classes out by `min_per_class: 3` in {CONF}"
            ],
        ),
        (
            files_of(20),
            (),
            {"train_per_class": 16},
            [
                "expected at least 21 usable images in every class, for train, val, test, found fewer in 2 "
                "classes: cat "
                f"(20), dog (20); add images, lower train_per_class, or leave such classes out by "
                f"`min_per_class: 21` in {CONF}"
            ],
        ),
        (
            files_of(20),
            (),
            {"val_per_class": 17},
            [
                "expected at least 22 usable images in every class, for train, val, test, found fewer in 2 "
                "classes: cat "
                f"(20), dog (20); add images, lower val_per_class, or leave such classes out by `min_per_class: "
                f"22` in {CONF}"
            ],
        ),
        (
            files_of(9, "train") + files_of(3, "test", ("cat",)),
            ("train", "test"),
            {},
            [
                "expected a usable image of every class in test, found none of dog; add images to test, or "
                "leave test out "
                f"by skip_folders in {CONF}: then it is taken from train"
            ],
        ),
        (
            files_of(9, "train", ("cat",)) + files_of(1, "train", ("dog",)) + files_of(5, "test", ("dog", "ape")),
            ("train", "test"),
            {},
            [
                "expected the classes of train in every split, found besides ape; add images of them to train, "
                "or leave "
                f"their folders out by skip_folders in {CONF}, as test/ape",
                "expected at least 2 usable images of train in every class, for train, val, found fewer in dog "
                "(1); add "
                f"images, or leave their folders out by skip_folders in {CONF}",
                "expected a usable image of every class in test, found none of cat; add images to test, or "
                "leave test out "
                f"by skip_folders in {CONF}: then it is taken from train",
            ],
        ),
    ],
)
def test_shortages_of_all_classes_are_told_at_once(
    files: list[Examined], own_splits: tuple[str, ...], changes: dict[str, object], lines: list[str]
) -> None:
    classes = ("ape", *CLASSES) if any(file.label == "ape" for file in files) else CLASSES
    assert shortages(files, classes, own_splits, config_for(FOLDER, **changes)) == lines


def test_too_few_classes_that_are_not_rare_are_refused() -> None:
    (line,) = shortages(files_of(9, classes=("cat",)), ("cat",), (), config_for(FOLDER, min_per_class=9))
    assert line.startswith("data: expected at least 2 classes of 9 usable images, found cat; ")


@pytest.mark.parametrize("val_fraction", [0.01, 0.2, 0.49])
@pytest.mark.parametrize("test_fraction", [0.01, 0.2, 0.5])
@pytest.mark.parametrize(
    "counts", [{}, {"train_per_class": 4}, {"val_per_class": 3}, {"train_per_class": 2, "val_per_class": 5}]
)
def test_no_shortage_means_that_every_split_gets_what_is_asked(
    val_fraction: float, test_fraction: float, counts: dict[str, int]
) -> None:
    config = config_for(FOLDER, val_fraction=val_fraction, test_fraction=test_fraction, **counts)
    needed = {"train": config.train_per_class or 1, "val": config.val_per_class or 1, "test": 1}
    for number in range(1, 40):
        files = files_of(number)
        drawn = list(assign_splits(files, CLASSES, (), config).values())
        has_all = all(drawn.count(split) >= 2 * least for split, least in needed.items())
        assert has_all == (not shortages(files, CLASSES, (), config))
