"""What prepare writes can be opened, is complete, never half-written, and the same to the byte."""

import csv
import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from backbench.config.dataset_config import DatasetConfig
from backbench.data.arrays.dataset import MANIFEST, SPLITS, open_dataset
from backbench.data.arrays.file_formats import write_json
from backbench.data.ingest.decode import Decoded, decode
from backbench.data.ingest.pixels import PixelRule
from backbench.data.ingest.store import MANIFEST_COLUMNS, prepare_dataset
from backbench.runtime.digests import file_sha256
from backbench.runtime.errors import ArtifactError, DatasetError
from tests.support.image_folders import config_for, make_folder, picture, save


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = make_folder(tmp_path / "data", 10)
    save(picture(0), folder / "cat" / "copy.bmp")
    (folder / "dog" / "notes.txt").write_text("none", encoding="utf-8")
    return folder


def manifest_of(target: Path) -> list[dict[str, str]]:
    with (target / MANIFEST).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def digests_of(folder: Path) -> dict[str, str]:
    return {file.name: file_sha256(file) for file in sorted(folder.iterdir())}


def test_the_manifest_has_a_row_for_every_file(data: Path, tmp_path: Path) -> None:
    prepare_dataset(config_for(data), tmp_path / "dataset")
    rows = manifest_of(tmp_path / "dataset")
    assert tuple(rows[0]) == MANIFEST_COLUMNS
    assert [row["path"] for row in rows] == sorted(f"{file.parent.name}/{file.name}" for file in data.glob("*/*"))
    assert all(row["digest"] == file_sha256(data / row["path"]) for row in rows)
    by_path = {row["path"]: row for row in rows}
    assert by_path["cat/copy.bmp"]["verdict"] == "exact duplicate of cat/000.png"
    assert by_path["dog/notes.txt"] | {"digest": ""} == {
        "path": "dog/notes.txt",
        "digest": "",
        "label": "dog",
        "width": "",
        "height": "",
        "depth_bits": "",
        "split": "",
        "position": "",
        "verdict": "not an image",
        "note": "",
    }


def test_a_row_leads_to_its_pixels_and_label(data: Path, tmp_path: Path) -> None:
    prepare_dataset(config_for(data), tmp_path / "dataset")
    dataset = open_dataset(tmp_path / "dataset")
    used = [row for row in manifest_of(tmp_path / "dataset") if row["verdict"] == "used"]
    for row in used:
        position = int(row["position"])
        with Image.open(data / row["path"]) as image:
            np.testing.assert_array_equal(dataset.images[row["split"]][position], np.asarray(image))
        assert dataset.classes[dataset.labels[row["split"]][position]] == row["label"]
    assert len(used) == sum(len(dataset.labels[split]) for split in SPLITS) == 20


def test_the_description_counts_what_is_there(data: Path, tmp_path: Path) -> None:
    described = prepare_dataset(config_for(data, train_per_class=3, val_per_class=2), tmp_path / "dataset")
    assert described == json.loads((tmp_path / "dataset" / "dataset.json").read_text(encoding="utf-8"))
    assert described["counts"] == {
        "train": {"cat": 3, "dog": 3},
        "val": {"cat": 2, "dog": 2},
        "test": {"cat": 2, "dog": 2},
    }
    assert described["rejected"] == {"exact duplicate": 1, "not an image": 1, "not drawn": 6}
    assert described["classes"] == ["cat", "dog"]
    assert described["image_size_pixels"] == 16
    assert described["split_seed"] == 0


def test_litter_has_a_row_for_each_folder_and_the_description_counts_names(data: Path, tmp_path: Path) -> None:
    for name in ("cat/@eaDir/000.png", "dog/@eaDir/000.png", "lost+found"):
        save(picture(77), data / name / "thumb.png")
    described = prepare_dataset(config_for(data), tmp_path / "dataset")
    rows = {row["path"]: row for row in manifest_of(tmp_path / "dataset")}
    assert rows["cat/@eaDir/"] == dict.fromkeys(MANIFEST_COLUMNS, "") | {"path": "cat/@eaDir/", "verdict": "litter"}
    assert list(rows) == sorted(rows)
    assert described["rejected"] == {"exact duplicate": 1, "litter": 3, "not an image": 1}
    assert described["litter"] == {"@eaDir": 2, "lost+found": 1}
    assert described["classes"] == ["cat", "dog"]


def test_litter_changes_neither_digest_nor_arrays(data: Path, tmp_path: Path) -> None:
    before = prepare_dataset(config_for(data), tmp_path / "dataset")
    save(picture(77), data / "cat/@eaDir/000.png/thumb.png")
    after = prepare_dataset(config_for(data), tmp_path / "dataset")
    assert (after["digest"], after["sha256"]) == (before["digest"], before["sha256"])


def test_a_rare_class_is_left_out_by_what_is_usable_and_no_copy(data: Path, tmp_path: Path) -> None:
    make_folder(data, 5, ("cat", "dog", "ape"))
    for number in range(3):
        (data / "ape" / f"copy{number}.png").write_bytes((data / "ape" / "000.png").read_bytes())
    described = prepare_dataset(config_for(data, min_per_class=6), tmp_path / "dataset")
    assert described["classes"] == ["cat", "dog"]
    assert described["rare_classes"] == {"ape": 5}
    assert described["rejected"]["class below min_per_class"] == 5
    verdicts = {row["path"]: row["verdict"] for row in manifest_of(tmp_path / "dataset")}
    assert verdicts["ape/001.png"] == "class below min_per_class"
    assert sorted(set(open_dataset(tmp_path / "dataset").labels["train"].tolist())) == [0, 1]
    assert prepare_dataset(config_for(data, min_per_class=5), tmp_path / "dataset")["rare_classes"] == {}


def test_what_shows_behind_the_headers_is_told_at_once_too(data: Path, tmp_path: Path) -> None:
    make_folder(data, 5, ("cat", "dog", "ape", "bee"))
    for number in range(5):
        (data / "ape" / f"{number:03}.png").write_bytes((data / "cat" / "000.png").read_bytes()[:-300])
        (data / "bee" / f"{number:03}.png").write_bytes((data / "bee" / "000.png").read_bytes())
    with pytest.raises(DatasetError) as caught:
        prepare_dataset(config_for(data, digest="0" * 64), tmp_path / "dataset")
    pinned, empty, few, left_out = caught.value.lines
    assert "conf/dataset/tiny.yaml pins" in pinned
    assert "found none that can be used in ape (0 of 5 files); " in empty
    assert "found fewer in bee (1); " in few
    assert left_out == (
        "left out, which by itself stops nothing: 5 exact duplicate (bee/001.png, bee/002.png, bee/003.png, …), "
        "1 not an image (dog/notes.txt), 5 unreadable (ape/000.png, ape/001.png, ape/002.png, …); "
        "docs/data.md says what each means"
    )


def test_arrays_have_the_shapes_and_types_of_the_contract(data: Path, tmp_path: Path) -> None:
    prepare_dataset(config_for(data, image_size_pixels=24), tmp_path / "dataset")
    dataset = open_dataset(tmp_path / "dataset")
    for split in SPLITS:
        images, labels = dataset.images[split], dataset.labels[split]
        assert isinstance(images, np.memmap)
        assert images.shape == (len(labels), 24, 24, 3)
        assert images.dtype == np.uint8
        assert labels.dtype == np.int32
    assert dataset.image_size_pixels == 24


def test_preparing_again_gives_the_same_bytes(data: Path, tmp_path: Path) -> None:
    prepare_dataset(config_for(data), tmp_path / "dataset")
    first = digests_of(tmp_path / "dataset")
    prepare_dataset(config_for(data), tmp_path / "dataset")
    assert digests_of(tmp_path / "dataset") == first
    assert sorted(first) == sorted(
        ["dataset.json", "manifest.csv", *(f"{kind}-{split}.npy" for kind in ("images", "labels") for split in SPLITS)]
    )


def test_seed_one_is_another_split_of_the_same_content(data: Path, tmp_path: Path) -> None:
    zero = prepare_dataset(config_for(data, split_seed=0), tmp_path / "zero")
    one = prepare_dataset(config_for(data, split_seed=1), tmp_path / "one")
    assert zero["digest"] == one["digest"]
    assert digests_of(tmp_path / "zero")["images-train.npy"] != digests_of(tmp_path / "one")["images-train.npy"]


def test_few_shot_has_the_same_content_digest(data: Path, tmp_path: Path) -> None:
    whole = prepare_dataset(config_for(data), tmp_path / "whole")
    few = prepare_dataset(config_for(data, train_per_class=2), tmp_path / "few")
    assert whole["digest"] == few["digest"]


@pytest.mark.parametrize("change", ["renamed", "relabelled", "edited", "removed"])
def test_the_digest_tells_other_content(data: Path, tmp_path: Path, change: str) -> None:
    before = prepare_dataset(config_for(data), tmp_path / "dataset")["digest"]
    file = data / "cat" / "005.png"
    if change == "renamed":
        file.rename(data / "cat" / "new.png")
    elif change == "relabelled":
        file.rename(data / "dog" / "new.png")
    elif change == "edited":
        save(picture(99), file)
    else:
        file.unlink()
    assert prepare_dataset(config_for(data), tmp_path / "dataset")["digest"] != before


def test_a_file_that_is_not_used_leaves_the_digest_alone(data: Path, tmp_path: Path) -> None:
    before = prepare_dataset(config_for(data), tmp_path / "dataset")["digest"]
    (data / "cat" / "more.txt").write_text("more", encoding="utf-8")
    assert prepare_dataset(config_for(data), tmp_path / "dataset")["digest"] == before


def test_a_wrong_digest_names_both_and_leaves_no_trace(data: Path, tmp_path: Path) -> None:
    found = prepare_dataset(config_for(data), tmp_path / "dataset")["digest"]
    before = digests_of(tmp_path / "dataset")
    with pytest.raises(DatasetError) as caught:
        prepare_dataset(config_for(data, digest="0" * 64), tmp_path / "dataset")
    assert found in str(caught.value)
    assert "0" * 64 in str(caught.value)
    assert "conf/dataset/tiny.yaml" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert digests_of(tmp_path / "dataset") == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data", "dataset"]


def test_the_pinned_digest_passes(data: Path, tmp_path: Path) -> None:
    found = prepare_dataset(config_for(data), tmp_path / "dataset")["digest"]
    assert prepare_dataset(config_for(data, digest=found), tmp_path / "dataset")["digest"] == found


def test_what_a_killed_run_left_does_not_matter(data: Path, tmp_path: Path) -> None:
    left = tmp_path / ".dataset.tmp"
    left.mkdir()
    (left / "pool.raw").write_bytes(b"half")
    prepare_dataset(config_for(data), tmp_path / "dataset")
    assert not left.exists()
    assert len(open_dataset(tmp_path / "dataset").images["train"]) == 12


def test_a_folder_without_a_single_image_is_one_line(tmp_path: Path) -> None:
    for name in ("cat", "dog"):
        (tmp_path / "data" / name).mkdir(parents=True)
    with pytest.raises(DatasetError, match=r"found none that can be used in 2 classes: cat \(0 of 0 files\), dog"):
        prepare_dataset(config_for(tmp_path / "data"), tmp_path / "dataset")


def test_opening_before_prepare_says_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="dvc repro prepare"):
        open_dataset(tmp_path)


def test_a_data_set_that_an_older_version_wrote_is_to_be_prepared_again(data: Path, tmp_path: Path) -> None:
    described = prepare_dataset(config_for(data), tmp_path / "dataset")
    assert described["sha256"].keys() == {f"{kind}-{split}.npy" for kind in ("images", "labels") for split in SPLITS}
    del described["sha256"]
    write_json(tmp_path / "dataset/dataset.json", described)
    with pytest.raises(ArtifactError, match="expected the key `sha256`, found none.*dvc repro prepare"):
        open_dataset(tmp_path / "dataset")


def test_opened_pixels_cannot_be_changed(data: Path, tmp_path: Path) -> None:
    prepare_dataset(config_for(data), tmp_path / "dataset")
    with pytest.raises(ValueError, match="read-only"):
        open_dataset(tmp_path / "dataset").images["train"][0] = 0


def deep_folder(folder: Path, *, largest: int) -> Path:
    """Write five 16-bit grey images a class; those of `dog` go up to `largest`, those of `cat` to a quarter of it."""
    for seed, (name, brightness) in enumerate((("cat", 0.25), ("dog", 1.0))):
        for number in range(5):
            noise = np.random.default_rng([seed, number]).random((16, 16))
            noise[0, 0] = 1
            save(Image.fromarray((noise * brightness * largest).astype(np.uint16)), folder / name / f"{number}.png")
    return folder


def stored(target: Path, path: str) -> np.ndarray:
    (row,) = [row for row in manifest_of(target) if row["path"] == path]
    return np.asarray(open_dataset(target).images[row["split"]][int(row["position"])])


def test_deep_images_are_scaled_by_one_depth_and_not_each_by_its_own(tmp_path: Path) -> None:
    described = prepare_dataset(config_for(deep_folder(tmp_path / "data", largest=4000)), tmp_path / "dataset")
    assert described["depth"] == {"bits": 12, "is_declared": False, "largest_value": 4000, "num_images": 10}
    assert open_dataset(tmp_path / "dataset").depth_bits == 12
    for path, largest in (("cat/0.png", 1000), ("dog/0.png", 4000)):
        assert stored(tmp_path / "dataset", path).max() == round(largest * 255 / 4095)
    assert {row["depth_bits"] for row in manifest_of(tmp_path / "dataset")} == {"12"}
    assert {row["verdict"] for row in manifest_of(tmp_path / "dataset")} == {"used"}


def test_a_declared_depth_is_taken(tmp_path: Path) -> None:
    folder = deep_folder(tmp_path / "data", largest=900)
    observed = prepare_dataset(config_for(folder), tmp_path / "observed")
    declared = prepare_dataset(config_for(folder, depth_bits=12), tmp_path / "declared")
    assert (observed["depth"]["bits"], declared["depth"]["bits"]) == (10, 12)
    assert declared["depth"]["is_declared"] is True
    assert stored(tmp_path / "observed", "dog/0.png").max() == round(900 * 255 / 1023)
    assert stored(tmp_path / "declared", "dog/0.png").max() == round(900 * 255 / 4095)
    assert observed["digest"] == declared["digest"]


def test_only_deep_images_are_decoded_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = make_folder(deep_folder(tmp_path / "data", largest=4000), 6)
    looked: list[str] = []

    def counted(path: Path, config: DatasetConfig, rule: PixelRule) -> Decoded:
        looked.append(path.relative_to(folder).as_posix())
        return decode(path, config, rule)

    monkeypatch.setattr("backbench.data.ingest.scan.decode", counted)
    described = prepare_dataset(config_for(folder), tmp_path / "dataset")
    assert described["depth"]["num_images"] == 10
    deep = {f"{label}/{number}.png" for label in ("cat", "dog") for number in range(5)}
    assert Counter(looked) == {row["path"]: 1 + (row["path"] in deep) for row in manifest_of(tmp_path / "dataset")}


def test_the_same_picture_of_8_and_of_16_bits_is_a_duplicate(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "data", 6)
    shades = np.random.default_rng(0).integers(0, 256, (16, 16), dtype=np.uint8)
    shades[0, 0] = 255
    save(Image.fromarray(shades), folder / "cat" / "a.png")
    save(Image.fromarray(shades.astype(np.uint16) * 257), folder / "cat" / "b.png")
    prepare_dataset(config_for(folder), tmp_path / "dataset")
    verdicts = {row["path"]: row["verdict"] for row in manifest_of(tmp_path / "dataset")}
    assert verdicts["cat/b.png"] == "exact duplicate of cat/a.png"


def test_a_value_over_the_declared_depth_leaves_no_trace(tmp_path: Path) -> None:
    folder = deep_folder(tmp_path / "data", largest=4000)
    with pytest.raises(DatasetError, match=r"conf/dataset/tiny.yaml: depth_bits: expected values up to 1023, as of 10"):
        prepare_dataset(config_for(folder, depth_bits=10), tmp_path / "dataset")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data"]


def test_a_nearly_constant_image_is_used_and_said(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "data", 6)
    save(Image.new("RGB", (16, 16), (40, 41, 40)), folder / "cat" / "flat.png")
    described = prepare_dataset(config_for(folder), tmp_path / "dataset")
    rows = {row["path"]: row for row in manifest_of(tmp_path / "dataset")}
    assert (rows["cat/flat.png"]["verdict"], rows["cat/flat.png"]["note"]) == ("used", "nearly constant")
    assert rows["cat/000.png"]["note"] == ""
    assert described["num_nearly_constant"] == 1


@pytest.mark.parametrize(("resize", "side"), [("crop", 20), ("pad", 50), ("squash", 20)])
def test_an_open_size_is_what_is_wanted_as_far_as_the_photographs_have_it(
    tmp_path: Path, resize: str, side: int
) -> None:
    folder = tmp_path / "data"
    for number in range(12):
        save(picture(number, size=(50, 20)), folder / ("cat" if number % 2 else "dog") / f"{number}.png")
    config = config_for(folder, image_size_pixels=None, resize=resize)
    for wanted, expected in ((16, 16), (600, side)):
        described = prepare_dataset(config, tmp_path / "dataset", wanted)
        assert described["image_size_pixels"] == expected
        assert described["sides"] == {str(side): 12}
        assert described["resize"] == resize
        np.testing.assert_array_equal(open_dataset(tmp_path / "dataset").sides, [side] * 12)
        assert open_dataset(tmp_path / "dataset").images["train"].shape[1:] == (expected, expected, 3)


def test_a_size_that_is_a_number_is_that_number(tmp_path: Path) -> None:
    described = prepare_dataset(config_for(make_folder(tmp_path / "data"), image_size_pixels=33), tmp_path / "d", 600)
    assert described["image_size_pixels"] == 33
