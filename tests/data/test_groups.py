"""A group never stands in two splits, and what groups cannot do is said."""

import csv
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from sklearn.linear_model import LogisticRegression

from backbench.config.dataset_config import GroupConfig
from backbench.data.arrays.dataset import MANIFEST, SPLITS, open_dataset
from backbench.data.ingest.groups import Groups, folders_below_classes
from backbench.data.ingest.store import prepare_dataset
from backbench.runtime.errors import DatasetError
from tests.support.image_folders import config_for, picture, save
from tests.support.label_files import write_labels

NUM_PLANTS, NUM_LEAVES = 80, 6


def plants(folder: Path) -> Path:
    """Photograph leaves of plants, each of which is ill or not, each plant before a background of its own.

    Nothing but the background tells anything of a plant's illness, and that of one plant tells nothing of another's.
    """
    for plant in range(NUM_PLANTS):
        random = np.random.default_rng(plant)
        background = random.integers(40, 216, size=(16, 16, 3))
        label = ("healthy", "ill")[plant % 2]
        for leaf in range(NUM_LEAVES):
            shade = background + random.integers(-10, 11, size=background.shape)
            save(Image.fromarray(shade.astype(np.uint8)), folder / label / f"plant{plant:03}" / f"{leaf}.png")
    return folder


def test_accuracy_of_pixels_holds_for_new_groups_only_where_groups_stay_whole(tmp_path: Path) -> None:
    folder = plants(tmp_path / "data")
    accuracies = {}
    for name, group in (("images", None), ("groups", GroupConfig(folder=2))):
        prepare_dataset(config_for(folder, group=group, test_fraction=0.3), tmp_path / name)
        dataset = open_dataset(tmp_path / name)
        pixels = {split: dataset.images[split].reshape(-1, 16 * 16 * 3) / 255 for split in SPLITS}
        model = LogisticRegression(max_iter=1000).fit(pixels["train"], dataset.labels["train"])
        accuracies[name] = model.score(pixels["test"], dataset.labels["test"])
    assert accuracies["images"] > 0.95
    assert 0.35 < accuracies["groups"] < 0.65


def manifest_of(target: Path) -> list[dict[str, str]]:
    with (target / MANIFEST).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def splits_of_groups(target: Path) -> dict[str, set[str]]:
    splits = defaultdict(set)
    for row in manifest_of(target):
        if row["split"]:
            splits[row["group"]].add(row["split"])
    return splits


def patients(folder: Path, *, num_patients: int = 12, num_images: int = 3) -> Path:
    """Write images of patients, each of whom has both classes."""
    for patient in range(num_patients):
        for number in range(num_images):
            for index, label in enumerate(("cyst", "none")):
                seed = 1000 * patient + 10 * number + index
                save(picture(seed), folder / label / f"P{patient:02}" / f"P{patient:02}_{number}.png")
    return folder


@pytest.mark.parametrize("said", [{"folder": 2}, {"pattern": r"(P\d+)_"}, {"pattern": r"P\d+"}])
def test_a_folder_or_a_pattern_says_the_group_across_classes(tmp_path: Path, said: dict[str, Any]) -> None:
    group = GroupConfig(**said)
    config = config_for(patients(tmp_path / "data"), group=group, layout="classes")
    described = prepare_dataset(config, tmp_path / "dataset")
    splits = splits_of_groups(tmp_path / "dataset")
    assert sorted(splits) == [f"P{patient:02}" for patient in range(12)]
    assert all(len(of) == 1 for of in splits.values())
    assert described["groups"]["by"] == str(group)
    assert sum(described["groups"]["num_groups"].values()) == 12
    assert described["rejected"] == {}


def test_a_column_says_the_group(tmp_path: Path) -> None:
    folder = patients(tmp_path / "data")
    files = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.png"))
    rows = [(path, path.split("/")[0], path.split("/")[1]) for path in files]
    by_folder = prepare_dataset(config_for(folder, group=GroupConfig(folder=2)), tmp_path / "dataset")
    for name, group in (("group", None), ("patient", GroupConfig(column="patient"))):
        write_labels(folder / "labels.csv", rows, ("path", "label", name))
        config = config_for(folder, labels="labels.csv", group=group)
        described = prepare_dataset(config, tmp_path / name)
        assert described["sha256"] == by_folder["sha256"]
        assert described["groups"]["by"] == f"column {name}"
        assert all(len(of) == 1 for of in splits_of_groups(tmp_path / name).values())


def test_alone_leaves_a_column_of_groups_unused(tmp_path: Path) -> None:
    folder = patients(tmp_path / "data")
    files = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.png"))
    rows = [(path, path.split("/")[0], path.split("/")[1]) for path in files]
    write_labels(folder / "labels.csv", rows, ("path", "label", "group"))
    config = config_for(folder, labels="labels.csv", group=GroupConfig(alone=True))
    described = prepare_dataset(config, tmp_path / "dataset")
    assert "groups" not in described
    by_folders = prepare_dataset(config_for(folder, layout="classes"), tmp_path / "folders")
    assert described["sha256"] == by_folders["sha256"]


def test_counts_take_at_most_so_many_images_of_the_groups_of_a_split(tmp_path: Path) -> None:
    folder = patients(tmp_path / "data")
    config = config_for(folder, group=GroupConfig(folder=2), train_per_class=10, val_per_class=4)
    described = prepare_dataset(config, tmp_path / "dataset")
    assert described["counts"]["train"] == {"cyst": 10, "none": 10}
    assert described["counts"]["val"] == {"cyst": 4, "none": 4}
    assert all(len(of) == 1 for of in splits_of_groups(tmp_path / "dataset").values())


def test_another_seed_is_another_split_of_groups(tmp_path: Path) -> None:
    folder = patients(tmp_path / "data")
    splits = []
    for seed in (0, 0, 1):
        prepare_dataset(config_for(folder, group=GroupConfig(folder=2), split_seed=seed), tmp_path / "dataset")
        splits.append(splits_of_groups(tmp_path / "dataset"))
    assert splits[0] == splits[1]
    assert splits[0] != splits[2]


def test_the_names_of_groups_decide_nothing(tmp_path: Path) -> None:
    folder, contents = patients(tmp_path / "data"), []
    for name in ("P00", "Z"):
        prepare_dataset(config_for(folder, group=GroupConfig(folder=2)), tmp_path / "dataset")
        assert name in splits_of_groups(tmp_path / "dataset")
        contents.append({(row["digest"], row["split"]) for row in manifest_of(tmp_path / "dataset")})
        for label in ("cyst", "none"):
            if name == "P00":
                (folder / label / name).rename(folder / label / "Z")
    assert contents[0] == contents[1]


def errors_of(folder: Path, **changes: object) -> tuple[str, ...]:
    with pytest.raises(DatasetError) as caught:
        prepare_dataset(config_for(folder, **changes), folder.parent / "dataset")
    return caught.value.lines


def test_images_without_a_group_are_refused(tmp_path: Path) -> None:
    folder = patients(tmp_path / "data")
    save(picture(9), folder / "cyst/loose.png")
    (folder / "cyst/notes.txt").write_text("no image, and so without a group", encoding="utf-8")
    line, left_out = errors_of(folder, group=GroupConfig(folder=2))
    assert line == (
        "conf/dataset/tiny.yaml: group: expected a group of every image by folder 2, found none of 1 of 73 images, "
        "such as cyst/loose.png; correct it, or move such images away"
    )
    assert "1 not an image" in left_out


def test_a_group_in_two_splits_of_ones_own_is_refused(tmp_path: Path) -> None:
    patients(tmp_path / "data/train")
    patients(tmp_path / "data/test", num_patients=2)
    (line,) = errors_of(tmp_path / "data", group=GroupConfig(folder=3))
    assert line == (
        f"{tmp_path}/data: expected every group in one split, found 2 in several: P00 (train, test), P01 (train, "
        "test); move the images of each into one, or leave a split out by skip_folders in conf/dataset/tiny.yaml"
    )


def test_own_test_groups_stay_and_val_is_taken_from_train_in_whole_groups(tmp_path: Path) -> None:
    patients(tmp_path / "data/train")
    for number, label in enumerate(("cyst", "none")):
        save(picture(10**6 + number), tmp_path / f"data/test/{label}/Q1/a.png")
    described = prepare_dataset(config_for(tmp_path / "data", group=GroupConfig(folder=3)), tmp_path / "dataset")
    assert described["groups"]["num_groups"]["test"] == 1
    assert splits_of_groups(tmp_path / "dataset")["Q1"] == {"test"}
    assert described["counts"]["val"] == {"cyst": 6, "none": 6}


def test_too_few_groups_for_the_splits_are_refused_with_their_numbers(tmp_path: Path) -> None:
    (line,) = errors_of(patients(tmp_path / "data", num_patients=2), group=GroupConfig(folder=2))
    assert line == (
        "expected images of at least 3 groups in every class, for train, val, test, found fewer in cyst (2), none (2); "
        "add images of other groups, or name a finer group in conf/dataset/tiny.yaml"
    )


def test_too_few_images_in_whole_groups_are_refused_with_their_numbers(tmp_path: Path) -> None:
    folder = patients(tmp_path / "data", num_patients=4)
    (line,) = errors_of(folder, group=GroupConfig(folder=2), train_per_class=8, val_fraction=0.1)
    assert line == (
        "expected so many images of every class where groups stay whole: 8 in train, 1 in val, 1 in test, found fewer "
        "in train of cyst (6), train of none (6); add images of other groups, lower train_per_class, or name a finer "
        "group in conf/dataset/tiny.yaml"
    )


def test_shares_that_groups_do_not_allow_are_said(tmp_path: Path) -> None:
    described = prepare_dataset(
        config_for(patients(tmp_path / "data", num_patients=3), group=GroupConfig(folder=2)), tmp_path / "dataset"
    )
    assert str(Groups(**described["groups"])) == (
        "groups by folder 2, none in two splits: train 1, val 1, test 1; too few groups, or too large ones, to split "
        "every class as asked: train has 33% of none, wanted 60%"
    )
    described = prepare_dataset(
        config_for(patients(tmp_path / "many", num_patients=20), group=GroupConfig(folder=2)), tmp_path / "dataset"
    )
    assert str(Groups(**described["groups"])) == "groups by folder 2, none in two splits: train 12, val 4, test 4"


def test_folders_below_class_folders_are_found_with_their_depth() -> None:
    files = [("cat/in/a.png", "cat"), ("cat/b.png", "cat"), ("train/dog/out/far/c.png", "dog"), ("notes.txt", "")]
    assert folders_below_classes(files) == {"cat/in": 2, "train/dog/out": 3}
