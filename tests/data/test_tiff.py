"""TIFFs of 8 bits, 16 bits and floating-point values are read by one rule, and what is not read is said."""

import csv
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from backbench.data.arrays.dataset import MANIFEST, open_dataset
from backbench.data.ingest.decode import Decoded, bounded, decode, decode_header
from backbench.data.ingest.deep import read_whole
from backbench.data.ingest.pixels import PixelRule
from backbench.data.ingest.store import prepare_dataset
from backbench.runtime.errors import DatasetError
from tests.support.image_folders import config_for, make_folder, picture, save
from tests.support.tiff_files import DEFLATE, EXTRA, NONE, PHOTOMETRIC, tiff

ORIENTATION, SUBFILE, DNG_VERSION = 274, 254, 50706
ROTATED = 6  # by a quarter turn, clockwise, to be upright


def noise(num_channels: int, kind: str) -> np.ndarray:
    numbers = np.random.default_rng(num_channels).random((16, 16, num_channels))
    largest = {"u1": 255, "u2": 65535, "f4": 1}[kind]
    return np.asarray(numbers * largest).astype(kind)


@pytest.fixture(autouse=True)
def as_scan_calls_it(tmp_path: Path) -> Iterator[None]:
    with bounded(config_for(tmp_path).max_image_pixels):
        yield


def look(content: bytes, folder: Path, *, depth_bits: int | None = 16, **changes: object) -> Decoded:
    (folder / "image.tif").write_bytes(content)
    return decode(folder / "image.tif", config_for(folder, **changes), PixelRule(16, "crop", depth_bits))


def pixels(seen: Decoded) -> np.ndarray:
    assert seen.verdict == "used"
    assert seen.pixels is not None
    return seen.pixels


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("compression", [NONE, DEFLATE])
@pytest.mark.parametrize("num_channels", [1, 3])
def test_eight_bits_are_read_as_they_are(tmp_path: Path, order: str, compression: int, num_channels: int) -> None:
    values = noise(num_channels, "u1")
    found = pixels(look(tiff(values, order=order, compression=compression), tmp_path))
    np.testing.assert_array_equal(found, np.broadcast_to(values, (16, 16, 3)))


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("compression", [NONE, DEFLATE])
@pytest.mark.parametrize("num_channels", [1, 3, 4])
def test_every_bit_of_sixteen_is_read(tmp_path: Path, order: str, compression: int, num_channels: int) -> None:
    values = noise(num_channels, "u2")
    content = tiff(values, order=order, compression=compression)
    (tmp_path / "deep.tif").write_bytes(content)
    found, _ = read_whole(tmp_path / "deep.tif")
    assert found.dtype == np.uint16
    np.testing.assert_array_equal(found, values)
    seen = look(content, tmp_path)
    assert seen.largest_value == values[..., :3].max()
    if num_channels != 4:
        np.testing.assert_array_equal(pixels(seen), np.broadcast_to(np.rint(values / 257), (16, 16, 3)))


def test_a_fourth_sample_that_means_nothing_is_no_alpha(tmp_path: Path) -> None:
    values = noise(4, "u2")
    found = pixels(look(tiff(values, tags={EXTRA: [0]}), tmp_path))
    np.testing.assert_array_equal(found, np.rint(values[..., :3] / 257))


@pytest.mark.parametrize("kind", ["u1", "u2", "f4"])
def test_a_rotated_picture_is_turned_upright_once(tmp_path: Path, kind: str) -> None:
    values = noise(1, kind)
    upright = pixels(look(tiff(np.rot90(values, -1)), tmp_path))
    np.testing.assert_array_equal(pixels(look(tiff(values, tags={ORIENTATION: [ROTATED]}), tmp_path)), upright)


@pytest.mark.parametrize("order", ["<", ">"])
def test_floating_point_values_are_scaled_from_the_declared_range(tmp_path: Path, order: str) -> None:
    values = noise(1, "f4")
    content = tiff(values, order=order)
    seen = look(content, tmp_path)
    np.testing.assert_array_equal(pixels(seen), np.broadcast_to(np.rint(values * 255.0), (16, 16, 3)))
    assert seen.float_range == (values.min(), values.max())
    wider = pixels(look(content, tmp_path, float_range=(-1.0, 3.0)))
    np.testing.assert_array_equal(wider[..., 0], np.rint((values[..., 0].astype(float) + 1) * 255 / 4))


def test_what_is_no_number_is_black_and_of_no_range(tmp_path: Path) -> None:
    values = noise(1, "f4")
    values[0, :2, 0] = np.nan, np.inf
    seen = look(tiff(values), tmp_path)
    assert pixels(seen)[0, :2, 0].tolist() == [0, 255]
    assert seen.float_range == (values[np.isfinite(values)].min(), values[np.isfinite(values)].max())
    assert look(tiff(np.full_like(values, np.nan)), tmp_path).float_range == (0, 0)


OTHERS = {
    "signed_16": tiff(noise(1, "u2").view(np.int16)),
    "whole_32": tiff(noise(1, "u2").astype(np.uint32)),
    "sixteen_bits_that_count_down": tiff(noise(1, "u2"), tags={PHOTOMETRIC: [0]}),
    "premultiplied": tiff(noise(4, "u2"), tags={EXTRA: [1]}),
    "a_preview": tiff(noise(3, "u1"), tags={SUBFILE: [1]}),
    "raw_of_a_camera": tiff(noise(3, "u1"), tags={DNG_VERSION: [1, 4, 0, 0]}),
}


@pytest.mark.parametrize("content", OTHERS.values(), ids=OTHERS.keys())
def test_kinds_that_are_not_read_are_said_by_the_header_alone(tmp_path: Path, content: bytes) -> None:
    assert look(content, tmp_path).verdict == "TIFF of a kind that is not read"
    seen = decode_header(tmp_path / "image.tif", config_for(tmp_path))
    assert seen.verdict == "TIFF of a kind that is not read"


@pytest.mark.parametrize("kind", ["u1", "u2", "f4"])
def test_a_damaged_file_is_unreadable_and_never_raises(tmp_path: Path, kind: str) -> None:
    content = tiff(noise(3 if kind != "f4" else 1, kind), compression=DEFLATE)
    seen = {look(content[:length], tmp_path).verdict for length in range(8, len(content), 29)}
    seen.add(look(b"II*\0" + b"\xff" * 40, tmp_path).verdict)
    # A cut may take the tag away that says that numbers are floating-point ones.
    assert {"unreadable"} <= seen <= {"unreadable", "TIFF of a kind that is not read"}


def manifest_of(target: Path) -> dict[str, dict[str, str]]:
    with (target / MANIFEST).open(encoding="utf-8", newline="") as file:
        return {row["path"]: row for row in csv.DictReader(file)}


def test_the_first_page_is_read_and_said(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "data", 6)
    pages = [np.asarray(picture(number)) for number in range(5000, 5003)]
    (folder / "cat/pages.tiff").write_bytes(tiff(*pages))
    save(picture(5003), folder / "cat/page.tif")
    described = prepare_dataset(config_for(folder), tmp_path / "dataset")
    rows = manifest_of(tmp_path / "dataset")
    row = rows["cat/pages.tiff"]
    assert (row["verdict"], row["note"]) == ("used", "first of 3 pages")
    assert rows["cat/page.tif"]["note"] == ""
    assert described["num_with_more_pages"] == 1
    stored = open_dataset(tmp_path / "dataset").images[row["split"]][int(row["position"])]
    np.testing.assert_array_equal(stored, pages[0])


def floats_folder(folder: Path, largest: float) -> Path:
    for number in range(12):
        values = np.random.default_rng(number).random((16, 16, 1)).astype(np.float32)
        values[0, 0] = largest if number == 7 else 1
        path = folder / ("cat", "dog")[number % 2] / f"{number:02}.tif"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(tiff(values))
    return folder


def test_floating_point_values_of_a_data_set_have_one_range(tmp_path: Path) -> None:
    folder = floats_folder(tmp_path / "data", 2.5)
    with pytest.raises(DatasetError) as caught:
        prepare_dataset(config_for(folder), tmp_path / "dataset")
    (line,) = caught.value.lines
    assert line.startswith("conf/dataset/tiny.yaml: float_range: expected floating-point values of 0 to 1, found ")
    assert line.endswith("2.5, first in dog/07.tif; set `float_range: [0, 2.5]`, or a wider one") or "e-0" in line
    described = prepare_dataset(config_for(folder, float_range=(0.0, 2.5)), tmp_path / "dataset")
    assert described["floats"] == {"low": 0, "high": 2.5, "num_images": 12}
    row = manifest_of(tmp_path / "dataset")["cat/00.tif"]
    stored = open_dataset(tmp_path / "dataset").images[row["split"]][int(row["position"])]
    assert stored[0, 0, 0] == round(255 / 2.5)


def test_pages_that_lead_to_each_other_end(tmp_path: Path) -> None:
    content = tiff(noise(1, "u1"))
    directory = int.from_bytes(content[4:8], "little")
    looped = content[:-4] + directory.to_bytes(4, "little")
    assert look(looped, tmp_path).verdict == "used"


def test_pillows_own_tiffs_are_read_by_every_compression(tmp_path: Path) -> None:
    for compression in ("raw", "tiff_lzw", "tiff_adobe_deflate", "packbits"):
        picture(1).save(tmp_path / "image.tif", compression=compression)
        content = (tmp_path / "image.tif").read_bytes()
        np.testing.assert_array_equal(pixels(look(content, tmp_path)), np.asarray(picture(1)))
        grey = Image.fromarray(noise(1, "u2")[..., 0])
        grey.save(tmp_path / "image.tif", compression=compression)
        found, _ = read_whole(tmp_path / "image.tif")
        np.testing.assert_array_equal(found, noise(1, "u2"))
