"""Near copies stand in one split; a chain of them, or a class that is all alike, does not empty the others."""

import csv
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from bench.copies import COPIES

from backbench.data.arrays.dataset import MANIFEST, NEAR_COPY_OF, SPLITS
from backbench.data.ingest.checks import check
from backbench.data.ingest.copy_sets import NearCopies, PathPair, count_near_copies, most_together, with_near_copies
from backbench.data.ingest.split import assign_splits
from backbench.data.ingest.store import MANIFEST_COLUMNS, prepare_dataset
from backbench.data.ingest.tree import Examined, Tree
from backbench.runtime.digests import file_sha256
from backbench.runtime.errors import DatasetError
from tests.support.image_folders import config_for, deep_png, save
from tests.support.split_files import CLASSES, FOLDER, files_of
from tests.support.textures import texture

SEEDS = range(20)
# Kinds that are found of nearly every texture (test_near_copies.py).
KINDS = [
    name for name in COPIES if name not in ("cropped by 10 % on one side", "cropped by 5 % on all sides", "mirrored")
]


def paired(number: int, *, step: int = 2, label: str = "cat", split: str = "") -> list[PathPair]:
    """Pair the images of a class, each `step`-th one with the next."""
    return [(f"{split}/{label}/{first}", f"{split}/{label}/{first + 1}") for first in range(0, number - 1, step)]


def split_with(
    files: Sequence[Examined], pairs: Sequence[PathPair], own_splits: tuple[str, ...] = (), **changes: object
) -> dict[str, str]:
    return assign_splits(with_near_copies(files, pairs), CLASSES, own_splits, config_for(FOLDER, **changes))


@pytest.mark.parametrize("seed", SEEDS)
def test_pairs_stand_in_one_split_and_shares_are_as_asked(seed: int) -> None:
    split_of = split_with(files_of(50), paired(30), split_seed=seed)
    assert all(split_of[one] == split_of[other] for one, other in paired(30))
    per_class = Counter((split_of[file.path], file.label) for file in files_of(50))
    assert {key: per_class[key] for key in (("train", "cat"), ("val", "cat"), ("test", "cat"))} == {
        ("train", "cat"): 30,
        ("val", "cat"): 10,
        ("test", "cat"): 10,
    }


def test_copies_change_the_split_of_no_other_class() -> None:
    plain, joined = split_with(files_of(50), []), split_with(files_of(50), paired(30))
    dogs = [file.path for file in files_of(50) if file.label == "dog"]
    assert [plain[path] for path in dogs] == [joined[path] for path in dogs]
    assert plain != joined


def test_copies_come_to_the_test_split_no_more_often_than_other_images() -> None:
    splits = [split_with(files_of(50), paired(20), split_seed=seed) for seed in range(200)]
    in_test = sum(split_of[one] == "test" for split_of in splits for one, _ in paired(20))
    assert in_test / (200 * len(paired(20))) == pytest.approx(0.2, abs=0.03)


@pytest.mark.parametrize("counts", [{"train_per_class": 11, "val_per_class": 7}, {"train_per_class": 21}])
@pytest.mark.parametrize("seed", SEEDS)
def test_numbers_that_are_asked_for_are_exact_where_all_images_are_pairs(seed: int, counts: dict[str, int]) -> None:
    split_of = split_with(files_of(50), paired(50), split_seed=seed, **counts)
    drawn = Counter(split for path, split in split_of.items() if "cat" in path)
    assert drawn["train"] == counts["train_per_class"]
    assert drawn["val"] == counts.get("val_per_class", drawn["val"])
    assert drawn["test"] == 10
    assert all(
        split_of.get(one, split_of.get(other)) == split_of.get(other, split_of.get(one)) for one, other in paired(50)
    )


@pytest.mark.parametrize("number", [3, 4, 6, 9, 10, 20, 30, 100])
@pytest.mark.parametrize("seed", SEEDS)
def test_neither_a_chain_nor_a_class_of_copies_leaves_a_split_empty(number: int, seed: int) -> None:
    chain = paired(number, step=1)
    everyone = [(f"/cat/{one}", f"/cat/{other}") for one in range(number) for other in range(one + 1, number)]
    for pairs in (chain, everyone):
        files = with_near_copies(files_of(number), pairs)
        sets = Counter(file.unit for file in files if file.label == "cat")
        assert max(sets.values()) == max(1, most_together(number))
        split_of = assign_splits(files, CLASSES, (), config_for(FOLDER, split_seed=seed))
        assert {split_of[file.path] for file in files if file.label == "cat"} == set(SPLITS)


def test_the_closest_are_joined_first() -> None:
    pairs = [("/cat/8", "/cat/9"), *paired(20, step=1)]
    files = {file.path: file for file in with_near_copies(files_of(20), pairs)}
    assert files["/cat/8"].unit == files["/cat/9"].unit


def test_a_copy_names_the_closest_of_its_images() -> None:
    pairs = [("/cat/2", "/cat/5"), ("/cat/1", "/cat/5"), ("/cat/1", "/cat/2")]
    files = {file.path: file.near_copy_of for file in with_near_copies(files_of(10), pairs)}
    assert {path: of for path, of in files.items() if of} == {"/cat/5": "/cat/2", "/cat/2": "/cat/1"}


@pytest.mark.parametrize("seed", SEEDS)
def test_copies_under_two_labels_stand_in_one_split_and_are_counted(seed: int) -> None:
    pairs = [(f"/cat/{number}", f"/dog/{number}") for number in range(5)]
    files = with_near_copies(files_of(40), pairs)
    split_of = assign_splits(files, CLASSES, (), config_for(FOLDER, split_seed=seed))
    assert all(split_of[one] == split_of[other] for one, other in pairs)
    per_class = Counter((split_of[file.path], file.label) for file in files)
    assert {per_class["test", name] for name in CLASSES} == {8}
    assert count_near_copies(files, pairs, split_of) == NearCopies(5, 5, 0)


def test_groups_of_near_copies_are_joined_whole_and_keep_their_names() -> None:
    grouped = [replace(file, group=f"P{int(file.path.rsplit('/', 1)[1]) // 5}") for file in files_of(50)]
    files = with_near_copies(grouped, [("/cat/0", "/cat/5")])
    assert [file.group for file in files] == [file.group for file in grouped]
    for seed in SEEDS:
        split_of = assign_splits(files, CLASSES, (), config_for(FOLDER, split_seed=seed))
        splits = defaultdict(set)
        for file in files:
            splits[file.group].add(split_of[file.path])
        assert splits["P0"] == splits["P1"]
        assert all(len(of) == 1 for of in splits.values())


def test_the_folders_own_splits_hold_and_copies_across_them_are_counted() -> None:
    files = files_of(20, "train") + files_of(10, "test")
    pairs = [("test/cat/0", "train/cat/0"), ("test/cat/1", "test/cat/2"), *paired(6, split="train")]
    split_of = split_with(files, pairs, ("train", "test"))
    assert all(split_of[file.path] == "test" for file in files if file.own_split == "test")
    assert all(split_of[one] == split_of[other] for one, other in paired(6, split="train"))
    found = count_near_copies(with_near_copies(files, pairs), pairs, split_of)
    assert found == NearCopies(5, 0, 1)
    assert str(found) == "5 near copies of other images, 1 in another split, which flatters: see docs/data.md"


def test_what_is_counted_is_said() -> None:
    assert str(NearCopies(1200, 3, 0)) == (
        "1,200 near copies of other images, 3 of another class, look at them, none in another split"
    )


def test_too_few_images_beside_their_copies_are_refused_with_what_to_do() -> None:
    files = with_near_copies(files_of(6), [*paired(6), *paired(6, label="dog")])
    config = config_for(FOLDER, train_per_class=4)
    tree = Tree(CLASSES, frozenset(), ())
    with pytest.raises(DatasetError) as caught:
        check(tree, files, config)
    assert caught.value.lines[0] == (
        "expected so many images of every class where near copies stay together: 4 in train, 1 in val, 1 in test, "
        "found fewer in train of cat (2), train of dog (2); add images that are no copies, or set "
        "`near_duplicates: null` in conf/dataset/tiny.yaml"
    )


def copies_folder(folder: Path) -> Path:
    """Write 24 textures of either class, and a copy of each kind of the first of them."""
    for index, label in enumerate(CLASSES):
        originals = [texture(100 * index + number) for number in range(24)]
        for number, picture in enumerate(originals):
            save(picture, folder / label / f"{number:02}.png")
        for number, name in enumerate(KINDS):
            save(COPIES[name](originals[number]), folder / label / f"{number:02}_copy.png")
    return folder


def rows_of(target: Path) -> dict[str, dict[str, str]]:
    with (target / MANIFEST).open(encoding="utf-8", newline="") as file:
        return {row["path"]: row for row in csv.DictReader(file)}


@pytest.mark.parametrize("seed", range(5))
def test_prepare_keeps_every_kind_of_copy_in_one_split_and_names_its_image(tmp_path: Path, seed: int) -> None:
    folder = copies_folder(tmp_path / "data")
    config = config_for(folder, near_duplicates="together", split_seed=seed)
    described = prepare_dataset(config, tmp_path / "dataset")
    rows = rows_of(tmp_path / "dataset")
    copies = {path: row for path, row in rows.items() if path.endswith("_copy.png")}
    assert {path: row[NEAR_COPY_OF] for path, row in rows.items() if row[NEAR_COPY_OF]} == {
        path: path.replace("_copy", "") for path in copies
    }
    assert all(row["split"] == rows[row[NEAR_COPY_OF]]["split"] for row in copies.values())
    assert described["near_copies"] == {"num_images": len(copies), "num_in_other_class": 0, "num_in_other_split": 0}
    assert described["near_duplicates"] == "together"
    assert {split: set(of.values()) for split, of in described["counts"].items()} == {
        "train": {22},
        "val": {7},
        "test": {7},
    }
    assert sorted(path.name for path in (tmp_path / "dataset").iterdir()) == sorted(
        ["dataset.json", MANIFEST, *(f"{kind}-{split}.npy" for kind in ("images", "labels") for split in SPLITS)]
    )


def test_copies_that_nobody_looks_for_fall_where_the_seed_puts_them(tmp_path: Path) -> None:
    folder = copies_folder(tmp_path / "data")
    described = prepare_dataset(config_for(folder, near_duplicates=None), tmp_path / "dataset")
    rows = rows_of(tmp_path / "dataset")
    copies = [path for path in rows if path.endswith("_copy.png")]
    assert any(rows[path]["split"] != rows[path.replace("_copy", "")]["split"] for path in copies)
    assert tuple(next(iter(rows.values()))) == MANIFEST_COLUMNS
    assert not {"near_copies", "near_duplicates"} & set(described)


def test_where_no_copies_are_all_but_the_key_is_as_if_none_were_looked_for(tmp_path: Path) -> None:
    for index, label in enumerate(CLASSES):
        for number in range(20):
            save(texture(100 * index + number), tmp_path / "data" / label / f"{number}.png")
    files = {}
    for way in ("together", None):
        described = prepare_dataset(config_for(tmp_path / "data", near_duplicates=way), tmp_path / str(way))
        assert described.pop("near_duplicates", None) == way
        found = {
            path.name: file_sha256(path) for path in (tmp_path / str(way)).iterdir() if path.name != "dataset.json"
        }
        files[way] = (found, described)
    assert files["together"] == files[None]


def test_an_image_of_16_bits_is_compared_as_it_is_stored(tmp_path: Path) -> None:
    folder = copies_folder(tmp_path / "data")
    values = np.asarray(texture(20).convert("L")).astype(np.uint16) * 257
    (folder / "cat" / "20_deep.png").write_bytes(deep_png(values[..., None]))
    prepare_dataset(config_for(folder, near_duplicates="together"), tmp_path / "dataset")
    assert rows_of(tmp_path / "dataset")["cat/20_deep.png"][NEAR_COPY_OF] == "cat/20.png"
