"""Splits are stratified, disjoint, seeded, and honour what the folder says."""

from collections import Counter

from backbench.data.ingest.split import RARE_CLASS, assign_splits, without_rare_classes
from backbench.data.ingest.tree import Examined
from tests.support.image_folders import config_for
from tests.support.split_files import CLASSES, FOLDER, files_of


def counts(files: list[Examined], own_splits: tuple[str, ...] = (), **changes: object) -> dict[str, set[int]]:
    """Return the numbers of images per class that each split has: one number where it is stratified."""
    split_of = assign_splits(files, CLASSES, own_splits, config_for(FOLDER, **changes))
    per_class = Counter((split_of[file.path], file.label) for file in files if file.path in split_of)
    return {split: {per_class[split, name] for name in CLASSES} for split in ("train", "val", "test")}


def test_fractions_are_of_every_class() -> None:
    assert counts(files_of(50)) == {"train": {30}, "val": {10}, "test": {10}}


def test_every_split_has_an_image_of_every_class() -> None:
    assert counts(files_of(3), val_fraction=0.01, test_fraction=0.01) == {"train": {1}, "val": {1}, "test": {1}}


def test_few_shot_leaves_the_rest_to_val() -> None:
    assert counts(files_of(50), train_per_class=20) == {"train": {20}, "val": {20}, "test": {10}}


def test_images_beyond_both_counts_are_not_drawn() -> None:
    assert counts(files_of(50), train_per_class=5, val_per_class=7) == {"train": {5}, "val": {7}, "test": {10}}


def test_own_test_split_is_kept_whole() -> None:
    files = files_of(60, "train") + files_of(30, "test")
    split_of = assign_splits(files, CLASSES, ("train", "test"), config_for(FOLDER, train_per_class=20))
    assert {file.path for file in files if split_of[file.path] == "test"} == {f.path for f in files_of(30, "test")}
    assert counts(files, ("train", "test"), train_per_class=20) == {"train": {20}, "val": {40}, "test": {30}}


def test_val_is_carved_out_of_own_train() -> None:
    files = files_of(50, "train") + files_of(30, "test")
    assert counts(files, ("train", "test")) == {"train": {40}, "val": {10}, "test": {30}}


def test_all_three_own_splits_are_honoured() -> None:
    files = files_of(5, "train") + files_of(3, "val") + files_of(4, "test")
    split_of = assign_splits(files, CLASSES, ("train", "val", "test"), config_for(FOLDER))
    assert all(split_of[file.path] == file.own_split for file in files)


def test_test_is_carved_out_of_own_train_and_val() -> None:
    files = files_of(50, "train") + files_of(3, "val")
    assert counts(files, ("train", "val")) == {"train": {40}, "val": {3}, "test": {10}}


def test_seed_zero_twice_is_the_same_and_seed_one_differs() -> None:
    files = files_of(50)
    first, again, other = (assign_splits(files, CLASSES, (), config_for(FOLDER, split_seed=seed)) for seed in (0, 0, 1))
    assert first == again
    assert first != other


def test_the_order_of_files_does_not_matter() -> None:
    files, config = files_of(50), config_for(FOLDER)
    assert assign_splits(files, CLASSES, (), config) == assign_splits(files[::-1], CLASSES, (), config)


def test_another_class_does_not_move_the_images_of_this_one() -> None:
    config = config_for(FOLDER)
    both = assign_splits(files_of(50), CLASSES, (), config)
    three = assign_splits(files_of(50, classes=("ape", *CLASSES)), ("ape", *CLASSES), (), config)
    assert both.items() <= three.items()


def test_unusable_files_are_never_drawn() -> None:
    files = files_of(10)
    broken = Examined("cat/broken", "cat", "", "x", "", None, None, "unreadable")
    assert "cat/broken" not in assign_splits([*files, broken], CLASSES, (), config_for(FOLDER))


def test_rare_classes_are_left_out_with_the_number_that_they_have() -> None:
    files = [*files_of(5), *files_of(2, classes=("ape",)), *files_of(3, classes=("bee",))]
    broken = Examined("ape/broken", "ape", "", "x", "", None, None, "unreadable")
    kept = without_rare_classes([*files, broken], ("ape", "bee", *CLASSES), 3)
    assert kept.classes == ("bee", *CLASSES)
    assert kept.rare == {"ape": 2}
    assert [file.verdict for file in kept.files if file.label == "ape"] == [RARE_CLASS, RARE_CLASS, "unreadable"]
    assert {file.verdict for file in kept.files if file.label != "ape"} == {"used"}


def test_without_a_least_number_no_class_is_left_out() -> None:
    kept = without_rare_classes(files_of(1), ("ape", *CLASSES), None)
    assert (kept.classes, kept.rare, kept.files) == (("ape", *CLASSES), {}, files_of(1))
