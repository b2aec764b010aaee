"""Labels come from a file as they come from folders, and what does not fit together is counted and named."""

import csv
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from backbench.data.arrays.dataset import MANIFEST, SPLITS, open_dataset
from backbench.data.ingest.parquet_tables import image_bytes
from backbench.data.ingest.store import prepare_dataset
from backbench.runtime.errors import DatasetError
from tests.support.image_folders import config_for, make_folder, picture, save
from tests.support.label_files import png_bytes, write_hub_file, write_labels, write_parquet


def manifest_of(target: Path) -> dict[str, dict[str, str]]:
    with (target / MANIFEST).open(encoding="utf-8", newline="") as file:
        return {row["path"]: row for row in csv.DictReader(file)}


def shuffled_folder(folder: Path) -> list[tuple[str, str]]:
    """Write ten images a class, all in one folder, and return their rows."""
    rows = []
    for number in range(20):
        save(picture(number), folder / f"photos/{number:02}.png")
        rows.append((f"photos/{number:02}.png", "cat" if number % 2 else "dog"))
    return rows


def errors_of(folder: Path, **changes: object) -> tuple[str, ...]:
    with pytest.raises(DatasetError) as caught:
        prepare_dataset(config_for(folder, **changes), folder.parent / "dataset")
    return caught.value.lines


def test_a_file_of_labels_gives_what_class_folders_give(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "folders")
    rows = [(f"{name}{number:03}.png", name) for name in ("cat", "dog") for number in range(10)]
    for path, name in rows:
        save(Image.open(folder / name / path.removeprefix(name)), tmp_path / "flat" / path)
    write_labels(tmp_path / "flat/labels.csv", rows)
    expected = prepare_dataset(config_for(folder), tmp_path / "a")
    found = prepare_dataset(config_for(tmp_path / "flat", labels="labels.csv"), tmp_path / "b")
    assert found["sha256"] == expected["sha256"]
    assert found["classes"] == ["cat", "dog"]
    assert found["labels"] == "labels.csv"
    assert manifest_of(tmp_path / "b")["labels.csv"]["verdict"] == "file of labels"


@pytest.mark.parametrize("separator", [";", "\t"])
def test_a_csv_file_may_have_another_separator(tmp_path: Path, separator: str) -> None:
    rows = shuffled_folder(tmp_path / "data")
    write_labels(tmp_path / "data/labels.csv", rows)
    text = (tmp_path / "data/labels.csv").read_text(encoding="utf-8")
    (tmp_path / "data/labels2.csv").write_text("\ufeff\n" + text.replace(",", separator), encoding="utf-8")
    expected, found = (
        prepare_dataset(config_for(tmp_path / "data", labels=name), tmp_path / name)
        for name in ("labels.csv", "labels2.csv")
    )
    assert found["sha256"] == expected["sha256"]


def test_parquet_says_the_same_as_csv(tmp_path: Path) -> None:
    rows = shuffled_folder(tmp_path / "data")
    paths, labels = zip(*rows, strict=True)
    write_labels(tmp_path / "data/labels.csv", rows)
    write_parquet(tmp_path / "data/labels.parquet", pa.table({"path": list(paths), "label": list(labels)}))
    by_csv, by_parquet = (
        prepare_dataset(config_for(tmp_path / "data", labels=f"labels.{kind}"), tmp_path / kind)
        for kind in ("csv", "parquet")
    )
    assert by_csv["sha256"] == by_parquet["sha256"]
    assert by_csv["digest"] == by_parquet["digest"]


def test_what_does_not_fit_together_is_counted_and_named(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    rows = shuffled_folder(folder)
    save(picture(77), folder / "photos/loose.png")
    save(picture(78), folder / "@eaDir/thumb.png")
    save(picture(79), folder / "photos/unlabelled.png")
    more = [
        ("photos/00.png", "cat"),
        ("photos/01.png", "cat"),
        ("photos/gone.png", "cat"),
        ("./photos/unlabelled.png", " "),
        ("@eaDir/thumb.png", "cat"),
    ]
    write_labels(folder / "labels.csv", [*rows, *more])
    described = prepare_dataset(config_for(folder, labels="labels.csv"), tmp_path / "dataset")
    found = manifest_of(tmp_path / "dataset")
    left_out = {path: (row["label"], row["verdict"]) for path, row in found.items() if row["verdict"] != "used"}
    assert left_out == {
        "@eaDir/": ("", "litter"),
        "@eaDir/thumb.png": ("cat", "litter"),
        "labels.csv": ("", "file of labels"),
        "photos/00.png": ("", "two labels: cat, dog"),
        "photos/gone.png": ("cat", "missing"),
        "photos/loose.png": ("", "no label"),
        "photos/unlabelled.png": ("", "no label"),
    }
    assert described["rejected"] == {"file of labels": 1, "litter": 2, "missing": 1, "no label": 2, "two labels": 1}
    assert described["num_repeated_rows"] == 2
    assert all(
        bool(row["digest"]) == (path.endswith(".png") and "gone" not in path and "@" not in path)
        for path, row in found.items()
    )


def test_the_digest_tells_another_label_and_another_split(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    rows = shuffled_folder(folder)
    header = ("path", "label", "split")
    split_of = [*["train"] * 14, *["test"] * 6]
    before = [(*row, split) for row, split in zip(rows, split_of, strict=True)]
    other_label = [(before[0][0], "cat", "train"), *before[1:]]
    other_split = [(*before[0][:2], "test"), *before[1:]]
    digests = set()
    for changed in (before, other_label, other_split):
        write_labels(folder / "labels.csv", changed, header)
        digests.add(prepare_dataset(config_for(folder, labels="labels.csv"), tmp_path / "dataset")["digest"])
    assert len(digests) == 3


def test_splits_of_the_file_are_honoured_and_val_is_taken_from_train(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    rows = [
        (path, label, "Testing" if number >= 16 else "training")
        for number, (path, label) in enumerate(shuffled_folder(folder))
    ]
    write_labels(folder / "l.csv", rows, ("file", "species", "fold"))
    columns = {"path": "file", "label": "species", "split": "fold"}
    described = prepare_dataset(config_for(folder, labels="l.csv", columns=columns), tmp_path / "dataset")
    assert described["counts"] == {split: {"cat": n, "dog": n} for split, n in zip(SPLITS, (6, 2, 2), strict=True)}
    manifest = manifest_of(tmp_path / "dataset")
    assert {path for path, row in manifest.items() if row["split"] == "test"} == {path for path, *_ in rows[16:]}


def test_hub_files_are_read_with_their_bytes_classes_and_splits(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    pictures = [picture(number) for number in range(24)]
    classes = ["dog", "cat"]
    write_hub_file(folder / "data/train-00000-of-00002.parquet", pictures[:10], [0, 1] * 5, classes)
    write_hub_file(folder / "data/train-00001-of-00002.parquet", pictures[10:18], [0, 1] * 4, classes)
    write_hub_file(folder / "data/validation-00000-of-00001.parquet", pictures[18:20], [0, 1], classes)
    write_hub_file(folder / "data/test-00000-of-00001.parquet", pictures[20:], [0, 1, None, -1], classes)
    described = prepare_dataset(config_for(folder, labels="data/*.parquet"), tmp_path / "dataset")
    counts = {split: {"cat": n, "dog": n} for split, n in zip(SPLITS, (9, 1, 1), strict=True)}
    assert described["counts"] == counts
    assert described["rejected"] == {"file of labels": 4, "no label": 2}
    dataset = open_dataset(tmp_path / "dataset")
    row = manifest_of(tmp_path / "dataset")["data/train-00001-of-00002.parquet/3/IMG_3.png"]
    assert (row["label"], row["split"], row["verdict"]) == ("cat", "train", "used")
    stored = dataset.images["train"][int(row["position"])]
    np.testing.assert_array_equal(stored, np.asarray(pictures[13]))


def test_rows_keep_their_own_label_however_many_there_are(tmp_path: Path) -> None:
    """Names are sorted as text, and images come in the order of rows: both have to be one order."""
    folder = tmp_path / "data"
    shades = [Image.new("RGB", (16, 16), (2 * number,) * 3) for number in range(120)]
    labels = [f"{number % 3}" for number in range(120)]
    images = pa.array([png_bytes(shade) for shade in shades], pa.binary())
    write_parquet(folder / "all.parquet", pa.table({"image": images, "label": labels}))
    prepare_dataset(config_for(folder, labels="all.parquet"), tmp_path / "dataset")
    dataset = open_dataset(tmp_path / "dataset")
    for split in SPLITS:
        numbers = dataset.images[split][:, 0, 0, 0] // 2
        np.testing.assert_array_equal(numbers % 3, dataset.labels[split])


def test_groups_in_some_files_of_labels_alone_are_refused(tmp_path: Path) -> None:
    rows = shuffled_folder(tmp_path / "data")
    write_labels(tmp_path / "data/a.csv", rows[:10])
    write_labels(tmp_path / "data/b.csv", [(*row, "P1") for row in rows[10:]], ("path", "label", "group"))
    (line, *_) = errors_of(tmp_path / "data", labels="*.csv")
    assert line.endswith(
        "expected a column group in every file of labels, or in none, found it in some; add it to the others, or set "
        "`group: {alone: true}` in conf/dataset/tiny.yaml"
    )


def test_deep_and_damaged_images_in_rows_are_judged_as_files_are(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    pictures = [Image.fromarray(np.asarray(picture(n))[..., 0].astype(np.uint16) * 16) for n in range(10)]
    images = [*map(png_bytes, pictures), png_bytes(picture(1))[:-300], b"text", None, png_bytes(picture(2))]
    labels = [*["cat", "dog"] * 5, "cat", "cat", "dog", "cat"]
    write_parquet(folder / "all.parquet", pa.table({"image": pa.array(images, pa.binary()), "label": labels}))
    described = prepare_dataset(config_for(folder, labels="all.parquet"), tmp_path / "dataset")
    verdicts = {path: row["verdict"] for path, row in manifest_of(tmp_path / "dataset").items()}
    assert verdicts["all.parquet/10"] == "unreadable"
    assert verdicts["all.parquet/11"] == verdicts["all.parquet/12"] == "not an image"
    assert described["depth"]["num_images"] == 10
    assert described["depth"]["bits"] == 12
    row = manifest_of(tmp_path / "dataset")["all.parquet/04"]
    stored = open_dataset(tmp_path / "dataset").images[row["split"]][int(row["position"])]
    np.testing.assert_array_equal(stored[..., 0], np.rint(np.asarray(pictures[4]) * (255 / 4095)))


def test_images_pass_through_flat_memory_whatever_the_row_groups_are(tmp_path: Path) -> None:
    noise = np.random.default_rng(0)
    images = [noise.bytes(20_000) for _ in range(3000)]
    # One group of rows, in pages of 64: pyarrow cuts a page no sooner.
    table = pa.table({"image": pa.array(images, pa.binary())})
    file = write_parquet(tmp_path / "a.parquet", table, write_batch_size=64)
    assert pq.read_metadata(file).num_row_groups == 1
    del images, table
    pool = pa.default_memory_pool()
    before = pool.bytes_allocated()
    most = max(pool.bytes_allocated() for _ in image_bytes(file, "image", range(3000)))
    assert most - before < 10_000_000


def test_only_the_rows_that_are_asked_for_are_read(tmp_path: Path) -> None:
    images = [bytes([number]) for number in range(200)]
    file = write_parquet(tmp_path / "a.parquet", pa.table({"image": pa.array(images, pa.binary())}))
    assert list(image_bytes(file, "image", [3, 63, 64, 199])) == [bytes([row]) for row in (3, 63, 64, 199)]


ROWS = [(f"photos/{number:02}.png", "cat" if number % 2 else "dog") for number in range(20)]
FOLDS = [(*row, "fold1") for row in ROWS]
FAULTS: dict[str, tuple[list[tuple[str, ...]], tuple[str, ...], dict[str, object], tuple[str, ...]]] = {
    "no_such_file": (
        [*ROWS],
        ("path", "label"),
        {"labels": "other.csv"},
        ("conf/dataset/tiny.yaml: labels: expected a file in data, found no other.csv; correct it, or put it there",),
    ),
    "columns_of_other_names": (
        [*ROWS],
        ("file", "species"),
        {},
        (
            "data/labels.csv: expected one column path, found file, species; name it in conf/dataset/tiny.yaml: "
            "`columns: {path: …}`",
            "data/labels.csv: expected one column label, found file, species; name it in conf/dataset/tiny.yaml: "
            "`columns: {label: …}`",
        ),
    ),
    "a_name_that_no_column_has": (
        [*ROWS],
        ("path", "label"),
        {"columns": {"split": "fold"}},
        (
            "data/labels.csv: expected the column fold, as conf/dataset/tiny.yaml calls it, found path, label; "
            "correct the name",
        ),
    ),
    "rows_of_another_length": (
        [*ROWS, ("a.png", "cat", "really"), ("b.png",)],
        ("path", "label"),
        {},
        (
            "data/labels.csv: expected 2 values in every row, as its header has names, found 3 in row 22 and 1 more "
            "rows; quote values that hold a separator, or correct them",
        ),
    ),
    "a_column_twice": (
        [(*row, "x") for row in ROWS],
        ("path", "label", "label"),
        {},
        ("data/labels.csv: expected every column once, found path, label, label; call them differently",),
    ),
    "paths_that_are_none": (
        [*ROWS, ("", "cat"), ("../a.png", "cat"), ("/b.png", "cat")],
        ("path", "label"),
        {},
        (
            "data/labels.csv: expected a path in every row, found none in 1 of 23; add them",
            "data/labels.csv: expected paths as seen from the data folder, found ../a.png, /b.png in 2 of 23 rows; "
            "write them as photos/a.jpg",
        ),
    ),
    "splits_that_are_none": (
        [*[(*row, "test") for row in ROWS], ("a.png", "cat", "fold1"), ("b.png", "cat", "")],
        ("path", "label", "split"),
        {},
        (
            "data/labels.csv: expected train, val or test as the split of every row, found fold1 in 1 rows, nothing "
            "in 1 rows; correct it",
            "data/labels.csv: expected rows of train, found fold1, test alone; add them, or name another column of "
            "splits",
        ),
    ),
    "one_class": (
        [(path, "cat") for path, _ in ROWS],
        ("path", "label"),
        {},
        (
            "data/labels.csv: expected at least 2 labels, found cat; name another column of them in "
            "conf/dataset/tiny.yaml",
        ),
    ),
    "images_elsewhere": (
        [(path.removeprefix("photos/"), label) for path, label in ROWS],
        ("path", "label"),
        {},
        (
            "data/labels.csv: expected paths of images as seen from data, found no image at any of 20, such as "
            "data/00.png; put the file of labels into data/photos, and set `path: data/photos` in "
            "conf/dataset/tiny.yaml",
        ),
    ),
}


@pytest.mark.parametrize(("rows", "header", "changes", "lines"), FAULTS.values(), ids=FAULTS.keys())
def test_each_fault_is_a_line_that_says_what_to_do(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    rows: list[tuple[str, ...]],
    header: tuple[str, ...],
    changes: dict[str, object],
    lines: tuple[str, ...],
) -> None:
    monkeypatch.chdir(tmp_path)
    shuffled_folder(Path("data"))
    write_labels(Path("data/labels.csv"), rows, header)
    found = errors_of(Path("data"), **({"labels": "labels.csv"} | changes))
    assert found[: len(lines)] == lines


@pytest.mark.parametrize(
    ("name", "content", "line"),
    [
        ("l.csv", "path,label\nä.png,cat\n".encode("latin-1"), "expected CSV in UTF-8, found something else"),
        ("l.csv", b'path,label\n"a.png,cat\n', "expected CSV in UTF-8, found something else"),
        ("l.csv", b"", "expected one column path, found none"),
        ("l.parquet", b"PAR1 no more", "expected a whole Parquet file, found it damaged"),
    ],
)
def test_a_damaged_file_of_labels_is_a_line(tmp_path: Path, name: str, content: bytes, line: str) -> None:
    shuffled_folder(tmp_path / "data")
    (tmp_path / "data" / name).write_bytes(content)
    assert errors_of(tmp_path / "data", labels=name)[0].startswith(f"{tmp_path}/data/{name}: {line}")


def test_a_parquet_file_that_is_cut_between_its_images_is_a_line(tmp_path: Path) -> None:
    pictures = [picture(number) for number in range(20)]
    file = write_hub_file(tmp_path / "data/l.parquet", pictures, [0, 1] * 10, ["cat", "dog"])
    content = bytearray(file.read_bytes())
    content[4:2000] = b"\0" * 1996
    file.write_bytes(content)
    (line, *_) = errors_of(tmp_path / "data", labels="l.parquet")
    assert "expected a whole Parquet file, found it damaged" in line


def test_two_columns_that_may_hold_the_images_are_not_guessed(tmp_path: Path) -> None:
    file = tmp_path / "data/l.parquet"
    columns = {name: [png_bytes(picture(number)) for number in range(20)] for name in ("image", "mask")}
    write_parquet(file, pa.table({**columns, "label": ["cat", "dog"] * 10}))
    (line, *_) = errors_of(tmp_path / "data", labels="l.parquet")
    assert (
        "expected one column path, found image, mask; name it in conf/dataset/tiny.yaml: `columns: {path: …}`" in line
    )
    named = config_for(tmp_path / "data", labels="l.parquet", columns={"path": "image"})
    assert prepare_dataset(named, tmp_path / "dataset")["counts"]["train"] == {"cat": 6, "dog": 6}
