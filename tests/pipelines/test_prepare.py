"""The prepare stage as a person runs it: one last line, or one line and exit code 2."""

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from omegaconf import OmegaConf
from PIL import Image

from backbench.config.config import to_typed
from backbench.config.dataset_config import DatasetConfig
from backbench.data.arrays.dataset import SPLITS, open_dataset
from backbench.runtime import paths
from backbench.runtime.errors import ArtifactError, DatasetError
from backbench.stages.prepare import prepare
from backbench.stages.size import size
from tests.support.configs import backbone_config
from tests.support.image_folders import config_for, make_folder, picture, save
from tests.support.label_files import write_labels
from tests.support.textures import texture
from tests.support.tiff_files import tiff

ROOT = Path(__file__).parents[2]
# SHA-256 of the stored training images, as commit c1847df wrote them: PNG files of 64 px, which nothing resamples.
PIXELS = {
    "photodigits": "abfcb298475535818718eaa6ddba8c68fd48e25155db401f992b063a5980e6f2",
    "digits": "254d72411809dd9a82d6ca1a122db75a9daa48dbc6cbc624ac7de70af8911704",
}


def shipped(name: str) -> DatasetConfig:
    """Type a shipped configuration."""
    return to_typed(OmegaConf.load(ROOT / "conf" / "dataset" / f"{name}.yaml"), DatasetConfig, where=name)  # type: ignore[arg-type]


def run_prepare(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(ROOT / "pipelines" / "prepare.py"), *arguments],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(folder)])},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("name", ["photodigits", "digits"])
def test_shipped_sets_are_the_pinned_ones(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("data").symlink_to(ROOT / "assets" / name)
    last_line = prepare(shipped(name))
    assert last_line.startswith(f"{name}: 10 classes, train 200, val 400, test 1197, left out: none; ")
    dataset = open_dataset(paths.DATASET)
    assert dataset.digest == shipped(name).digest
    assert [len(dataset.labels[split]) for split in SPLITS] == [200, 400, 1197]
    assert dataset.images["train"].shape == (200, 64, 64, 3)
    assert dataset.sha256["images-train.npy"] == PIXELS[name]


def test_the_last_line_says_what_was_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    make_folder(Path("data"), 10)
    save(picture(1), Path("data/dog/twin.png"))
    save(picture(0), Path("data/cat/copy.png"))
    assert prepare(config_for(Path("data"))) == (
        "tiny: 2 classes, train 11, val 4, test 4, left out: 2 conflicting label, 1 exact duplicate;"
        " crop to 16 x 16 px; every file's verdict is in work/dataset/manifest.csv"
    )


def test_the_last_line_counts_what_labels_and_images_lack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for number in range(21):
        save(picture(number), Path(f"data/{number}.png"))
    rows = [(f"{number}.png", "cat" if number % 2 else "dog") for number in range(20)]
    write_labels(Path("data/labels.csv"), [*rows, rows[0], ("gone.png", "cat")])
    assert prepare(config_for(Path("data"), labels="labels.csv")) == (
        "tiny: 2 classes, train 12, val 4, test 4, left out: 1 file of labels, 1 missing, 1 no label; "
        "1 rows of labels.csv say again what another says; crop to 16 x 16 px; "
        "every file's verdict is in work/dataset/manifest.csv"
    )


def test_the_last_line_names_litter_and_rare_classes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    make_folder(Path("data"), 10)
    save(picture(99), Path("data/ape/one.png"))
    for folder in ("cat/@eaDir", "dog/@eaDir", "lost+found"):
        save(picture(1), Path("data", folder, "a.png"))
    assert prepare(config_for(Path("data"), min_per_class=2)) == (
        "tiny: 2 classes, train 12, val 4, test 4, left out: 1 class below min_per_class, 3 litter; "
        "not looked into, as systems leave them: @eaDir, lost+found; "
        "classes with fewer than 2 usable images, left out: ape (1); crop to 16 x 16 px; "
        "every file's verdict is in work/dataset/manifest.csv"
    )


def test_the_last_line_counts_near_copies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for number in range(40):
        save(texture(number), Path(f"data/{('cat', 'dog')[number % 2]}/{number:02}.png"))
    save(texture(0).resize((48, 48)), Path("data/cat/00_small.png"))
    save(texture(1).resize((48, 48)), Path("data/cat/01_small.png"))
    assert prepare(config_for(Path("data"), near_duplicates="together")) == (
        "tiny: 2 classes, train 26, val 8, test 8, left out: none; 2 near copies of other images, 1 of another class, "
        "look at them, none in another split; crop to 16 x 16 px; every file's verdict is in work/dataset/manifest.csv"
    )


def test_the_last_line_says_how_deep_images_were_scaled_and_which_to_look_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    make_folder(Path("data"), 10)
    for number in range(2):
        save(Image.fromarray(np.full((16, 16), 1500 + number * 500, np.uint16)), Path(f"data/cat/flat{number}.png"))
    assert prepare(config_for(Path("data"), resize="pad")) == (
        "tiny: 2 classes, train 14, val 4, test 4, left out: none; pad to 16 x 16 px, 2 images deeper than 8 bits, "
        "scaled as 12-bit (observed; largest value 2000 of 4095), 2 nearly constant, look at them; "
        "every file's verdict is in work/dataset/manifest.csv"
    )


def test_the_last_line_says_of_tiffs_what_was_done_to_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    make_folder(Path("data"), 10)
    Path("data/cat/float.tif").write_bytes(tiff(np.random.default_rng(0).random((16, 16, 1)).astype(np.float32)))
    Path("data/cat/pages.tif").write_bytes(tiff(*(np.asarray(picture(number)) for number in (5001, 5002))))
    Path("data/cat/image.heic").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic")
    left_out = "1 unreadable" if find_spec("pillow_heif") else "1 HEIC, which needs the extra heic"
    assert prepare(config_for(Path("data"))) == (
        f"tiny: 2 classes, train 14, val 4, test 4, left out: {left_out}; crop to 16 x 16 px, 1 of floating-point "
        "values, scaled from 0 to 1, 1 TIFFs with more pages, of which the first is read; "
        "every file's verdict is in work/dataset/manifest.csv"
    )


def test_a_size_that_is_left_open_is_what_the_largest_backbone_takes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for number in range(20):
        save(picture(number, size=(100, 90)), Path(f"data/{number % 2}/{number}.png"))
    config = config_for(Path("data"), image_size_pixels=None)
    with pytest.raises(ArtifactError, match="work/image_size.json, found nothing there; run `dvc repro size`"):
        prepare(config)
    backbones = [backbone_config(name) for name in ("inception_v3_slim", "mobilenet_v2_slim")]
    assert size(config, backbones).startswith("tiny: images are wanted of 80 px, which the largest backbone")
    assert "; crop to 80 x 80 px; " in prepare(config)
    assert size(config_for(Path("data")), backbones) == (
        "tiny: images are wanted of 16 px, as conf/dataset/tiny.yaml says"
    )


@pytest.mark.parametrize("path", ["photos", "/photos", "data/../photos", "database", "."])
def test_a_folder_that_dvc_does_not_track_is_refused_with_the_command_that_tracks_it(path: str) -> None:
    with pytest.raises(DatasetError, match=f"found {path}; set path: data, .*`rm -rf data data.dvc && dvc import-url"):
        prepare(config_for(Path(), path=path))


def test_a_folder_within_the_tracked_one_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    make_folder(Path("data/photos"), 10)
    assert prepare(config_for(Path("data/photos"))).startswith("tiny: 2 classes")


def test_a_folder_of_ones_own_images_is_prepared_without_tensorflow(tmp_path: Path) -> None:
    make_folder(tmp_path / "data", 10, ("Hund", "犬"))
    refusal = "import sys\nsys.modules['tensorflow'] = sys.modules['keras'] = None\n"
    (tmp_path / "sitecustomize.py").write_text(refusal, encoding="utf-8")
    done = run_prepare(tmp_path, "dataset=folder", "dataset.image_size_pixels=32")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1].startswith("folder: 2 classes, train 12, val 4, test 4, left out: none; ")
    assert (tmp_path / "work" / "dataset" / "manifest.csv").is_file()


@pytest.mark.parametrize("override", ["dataset.val_fraction=2", "strategy.epochs=many", "search.num_trials=0"])
def test_the_whole_configuration_is_checked_before_an_image_is_decoded(tmp_path: Path, override: str) -> None:
    make_folder(tmp_path / "data", 10)
    done = run_prepare(tmp_path, "dataset=folder", override)
    assert (done.returncode, done.stdout) == (2, "")
    assert f"{override.split('=')[0].split('.')[1]}: expected " in done.stderr


def test_a_mistake_is_one_line_and_exit_code_2(tmp_path: Path) -> None:
    done = run_prepare(tmp_path, "dataset=folder", "dataset.image_size_pixels=32")
    assert done.returncode == 2
    assert done.stderr.splitlines() == [
        "error: data: expected a folder of class folders, found none; run `dvc pull` or put it there"
    ]
    assert not (tmp_path / "work" / "dataset").exists()
