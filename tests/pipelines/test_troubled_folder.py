"""A folder of 100 classes with every trouble at once: one answer, all of it, and then what is usable is prepared."""

import csv
import shutil
from collections import Counter
from pathlib import Path

import pytest

from backbench.data.arrays.dataset import MANIFEST, open_dataset
from backbench.data.ingest import scan
from backbench.runtime import paths
from backbench.runtime.errors import DatasetError
from backbench.stages.prepare import prepare
from tests.support.image_folders import config_for, make_folder, picture, save

SMALL = tuple(f"small{number}" for number in range(10))
WHOLE = tuple(f"whole{number:02}" for number in range(89))
LITTER = ("@eaDir/thumb.jpg", ".ipynb_checkpoints/000.png")


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Splits by other names, an unlabelled test set, litter at every depth, small classes, one without any image."""
    monkeypatch.chdir(tmp_path)
    training = make_folder(Path("data/Training"), 6, WHOLE)
    for index, name in enumerate(SMALL):
        for number in range(1 + index % 2):
            save(picture(10**6 + 10 * index + number), training / name / f"{number}.png")
    (training / "text").mkdir()
    (training / "text/notes.txt").write_text("no image", encoding="utf-8")
    save(picture(1, size=(4, 40)), training / "text/tiny.png")
    for index, name in enumerate(WHOLE):
        for number in range(2):
            save(picture(2 * 10**6 + 10 * index + number), Path("data/dev", name, f"{number}.png"))
    for number in range(300):
        save(picture(number), Path(f"data/Test/{number}.png"))
    for folder in ("data", "data/Training", "data/Training/whole00", "data/Training/whole01/indoors"):
        for name in LITTER:
            save(picture(5), Path(folder, name))
    return Path("data")


ANSWER = """
data/Test: expected the class folders of train, found 300 images and no class folder: a test set without labels, as \
competitions have it; set `skip_folders: [Test]` in conf/dataset/tiny.yaml, and test is taken from train
expected JPEG, PNG, TIFF, BMP, GIF, WebP or AVIF images in every class, found none that can be used in \
text (0 of 2 files); add images, or leave the folders out by skip_folders in conf/dataset/tiny.yaml
expected at least 2 usable images of train in every class, for train, test, found fewer in 5 classes: \
small0 (1), small2 (1), small4 (1), small6 (1), small8 (1); \
add images, or leave such classes out by `min_per_class: 2` in conf/dataset/tiny.yaml
expected a usable image of every class in val, found none of 10 classes: small0, small1, small2, small3, small4, \
small5, small6, small7, small8, small9; add images to val, or leave val out by skip_folders in \
conf/dataset/tiny.yaml: then it is taken from train
left out, which by itself stops nothing: 8 litter (.ipynb_checkpoints/, @eaDir/, Training/.ipynb_checkpoints/, …), \
1 not an image (Training/text/notes.txt), 1 too small (Training/text/tiny.png); docs/data.md says what each means
"""


def test_one_answer_has_all_of_it_before_an_image_is_decoded(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scan, "decode", lambda *args: pytest.fail("decoded"))
    with pytest.raises(DatasetError) as caught:
        prepare(config_for(data))
    assert "\n".join(caught.value.lines) == ANSWER.strip()
    assert not paths.DATASET.exists()


def test_what_is_usable_is_prepared_once_the_answer_is_followed(data: Path) -> None:
    shutil.copy(data / "Training/whole00/000.png", data / "Training/whole00/copy.png")
    last_line = prepare(config_for(data, skip_folders=["Test"], min_per_class=3))
    assert last_line == (
        "tiny: 89 classes, train 445, val 178, test 89, left out: "
        "15 class below min_per_class, 1 exact duplicate, 8 litter, 1 not an image, 1 skipped by skip_folders, "
        "1 too small; "
        "not looked into, as systems leave them: .ipynb_checkpoints, @eaDir; classes with fewer than 3 usable images, "
        "left out: small0 (1), small1 (2), small2 (1), small3 (2), small4 (1), small5 (2), small6 (1), small7 (2), "
        "small8 (1), small9 (2), text (0); crop to 16 x 16 px; every file's verdict is in work/dataset/manifest.csv"
    )
    assert open_dataset(paths.DATASET).classes == WHOLE
    with (paths.DATASET / MANIFEST).open(encoding="utf-8", newline="") as file:
        verdicts = Counter(row["verdict"] for row in csv.DictReader(file))
    assert verdicts["used"] == 445 + 178 + 89
    assert verdicts["skipped by skip_folders"] == 1
