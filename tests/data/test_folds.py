"""Folds hold every image once, evenly and with whole groups; where they cannot, how many could is said."""

import csv
from collections import Counter
from itertools import chain
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from backbench.config.dataset_config import GroupConfig
from backbench.data.arrays.dataset import MANIFEST, SPLITS, open_dataset
from backbench.data.ingest.copy_sets import with_near_copies
from backbench.data.ingest.shortages import shortages
from backbench.data.ingest.split import assign_splits
from backbench.data.ingest.store import prepare_dataset
from backbench.runtime.errors import DatasetError
from tests.support.image_folders import config_for, make_folder, picture, save
from tests.support.split_files import CLASSES, FOLDER, files_of

FIVE = config_for(FOLDER, folds=5)
CONF = "conf/dataset/tiny.yaml"


def test_every_image_is_in_one_fold_and_folds_are_even_in_all_and_in_every_class() -> None:
    files = files_of(13)
    fold_of = assign_splits(files, CLASSES, (), FIVE)
    assert fold_of.keys() == {file.path for file in files}
    assert Counter(fold_of.values()) == {"fold-0": 6, "fold-1": 5, "fold-2": 5, "fold-3": 5, "fold-4": 5}
    of_classes = Counter((fold_of[file.path], file.label) for file in files)
    assert set(of_classes.values()) == {2, 3}
    assert len(of_classes) == 5 * len(CLASSES)


def test_seed_zero_twice_is_the_same_and_seed_one_differs() -> None:
    files, other = files_of(13), config_for(FOLDER, folds=5, split_seed=1)
    first = assign_splits(files, CLASSES, (), FIVE)
    assert assign_splits(files[::-1], CLASSES, (), FIVE) == first
    assert assign_splits(files, CLASSES, (), other) != first


def test_a_prepared_set_is_one_array_of_which_every_fold_has_its_splits(tmp_path: Path) -> None:
    prepare_dataset(config_for(make_folder(tmp_path / "data", 7), folds=3), tmp_path / "dataset")
    dataset = open_dataset(tmp_path / "dataset")
    num_images = 14
    assert {name: images.shape for name, images in dataset.images.items()} == {"all": (num_images, 16, 16, 3)}
    assert dataset.each_fold == (0, 1, 2)
    for fold in range(3):
        rows = {split: dataset.rows(split, fold).tolist() for split in SPLITS}
        assert sorted(chain.from_iterable(rows.values())) == list(range(num_images)), "each in one split"
        assert rows["val"] == dataset.rows("test", (fold + 1) % 3).tolist()
    for split in ("test", "val"):
        every = np.concatenate([dataset.rows(split, fold) for fold in range(3)])
        assert sorted(every.tolist()) == list(range(num_images)), f"each is {split} once"
    with (tmp_path / "dataset" / MANIFEST).open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            place = int(row["position"])
            assert row["split"] == f"fold-{dataset.folds[place]}"
            assert dataset.classes[dataset.labels["all"][place]] == row["label"]
            kept = np.asarray(picture(1000 * ("cat", "dog").index(row["label"]) + int(row["path"][-7:-4])))
            assert np.array_equal(dataset.images["all"][place], kept)


def test_groups_stand_whole_in_one_fold(tmp_path: Path) -> None:
    for number in range(48):
        save(picture(number), tmp_path / "data" / ("cat", "dog")[number // 4 % 2] / f"p{number // 4}" / f"{number}.png")
    config = config_for(tmp_path / "data", folds=3, group=GroupConfig(folder=2))
    description = prepare_dataset(config, tmp_path / "dataset")
    with (tmp_path / "dataset" / MANIFEST).open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len({(row["group"], row["split"]) for row in rows}) == 12
    assert {split: sum(of.values()) for split, of in description["counts"].items()} == dict.fromkeys(
        ("fold-0", "fold-1", "fold-2"), 16
    )
    assert description["groups"]["num_groups"] == dict.fromkeys(("fold-0", "fold-1", "fold-2"), 4)
    with pytest.raises(
        DatasetError, match=r"images of at least 7 groups in every .* cat \(6\), dog \(6\); set at most"
    ):
        prepare_dataset(config_for(tmp_path / "data", folds=7, group=GroupConfig(folder=2)), tmp_path / "other")


def test_near_copies_stand_in_one_fold_and_folds_stay_even() -> None:
    files = files_of(15)
    pairs = [(files[0].path, files[1].path), (files[1].path, files[2].path), (files[4].path, files[20].path)]
    fold_of = assign_splits(with_near_copies(files, pairs), CLASSES, (), FIVE)
    assert all(fold_of[one] == fold_of[other] for one, other in pairs)
    of_classes = Counter((fold_of[file.path], file.label) for file in files)
    assert set(of_classes.values()) == {3}
    assert len(of_classes) == 5 * len(CLASSES)


def test_what_classes_have_over_goes_to_different_folds() -> None:
    classes = tuple("abcdefghij")
    files = files_of(6, classes=classes)
    together = with_near_copies(files, [(files[0].path, files[1].path), (files[7].path, files[8].path)])
    fold_of = assign_splits(together, classes, (), FIVE)
    assert set(Counter(fold_of.values()).values()) == {12}
    assert max(Counter((fold_of[file.path], file.label) for file in files).values()) == 2


@pytest.mark.parametrize(
    ("num_cats", "told"), [(4, "set at most `folds: 4`"), (2, "set `folds: null`")], ids=["some", "too few for any"]
)
def test_where_a_class_has_fewer_images_the_largest_number_of_folds_is_told(num_cats: int, told: str) -> None:
    files = files_of(num_cats, classes=("cat",)) + files_of(9, classes=("dog",))
    assert shortages(files, CLASSES, (), FIVE) == [
        f"{CONF}: folds: expected at least 5 usable images in every class, one in every fold, found fewer in cat "
        f"({num_cats}); {told}, add images, or leave such classes out by `min_per_class: 5`"
    ]


def test_own_splits_and_folds_are_refused_together() -> None:
    files = files_of(9, "train") + files_of(9, "test")
    assert shortages(files, CLASSES, ("train", "test"), FIVE) == [
        f"{CONF}: folds: expected images without val and test of their own, since every image is tested in its turn, "
        "found test; leave them out, or set `folds: null`"
    ]
    assert not shortages(files_of(9, "train"), CLASSES, ("train",), FIVE)


def test_numbers_per_class_and_folds_are_refused_together() -> None:
    with pytest.raises(ValidationError, match="folds, val_per_class: expected no number per class .* found 5 folds"):
        config_for(FOLDER, folds=5, val_per_class=4)
