"""Images deeper than 8 bits are read whole, and scaled by one depth for a whole data set."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from backbench.data.ingest.decode import Decoded, decode
from backbench.data.ingest.deep import common_depth, read_whole, scaled
from backbench.data.ingest.pixels import PixelRule
from backbench.runtime.errors import DatasetError
from tests.support.image_folders import config_for, deep_png, png

ORIENTATION = 0x0112
# First column and row, and steps, of each pass (https://www.w3.org/TR/png-3/#8Interlace).
ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))


def noise(num_channels: int, *, bits: int = 16) -> np.ndarray:
    return np.random.default_rng(num_channels).integers(0, 2**bits, (16, 16, num_channels)).astype(np.uint16)


def look(content: bytes, folder: Path, *, depth_bits: int | None) -> Decoded:
    path = folder / "deep.png"
    path.write_bytes(content)
    return decode(path, config_for(folder), PixelRule(16, "crop", depth_bits))


def pixels(content: bytes, folder: Path, *, depth_bits: int) -> np.ndarray:
    seen = look(content, folder, depth_bits=depth_bits)
    assert seen.pixels is not None
    return seen.pixels


@pytest.mark.parametrize("num_channels", [1, 2, 3, 4])
def test_every_bit_is_read(tmp_path: Path, num_channels: int) -> None:
    """Grey, grey and alpha, RGB, RGB and alpha; Pillow's own reading keeps the high bytes of the last three."""
    values = noise(num_channels)
    (tmp_path / "deep.png").write_bytes(deep_png(values))
    found, _ = read_whole(tmp_path / "deep.png")
    assert found.dtype == np.uint16
    np.testing.assert_array_equal(found, values)
    with Image.open(tmp_path / "deep.png") as image:
        narrow = np.asarray(image)
    assert (narrow.dtype == np.uint16) == (num_channels == 1)


def test_an_interlaced_image_is_read_whole(tmp_path: Path) -> None:
    values = noise(3)
    rows = [b"\0" + row.astype(">u2").tobytes() for x, y, dx, dy in ADAM7 for row in values[y::dy, x::dx]]
    interlaced = png(16, 16, bit_depth=16, colour_type=2, interlace=1, rows=b"".join(rows))
    (tmp_path / "deep.png").write_bytes(interlaced)
    np.testing.assert_array_equal(read_whole(tmp_path / "deep.png")[0], values)


@pytest.mark.parametrize(("bits", "largest"), [(8, 255), (10, 1023), (12, 4095), (14, 16383), (16, 65535)])
def test_the_depth_is_the_smallest_that_holds_the_largest_value(bits: int, largest: int) -> None:
    found = common_depth({"dark.png": 3, "bright.png": largest}, None, where="")
    assert found is not None
    assert (found.bits, found.is_declared, found.largest_value, found.num_images) == (bits, False, largest, 2)
    if bits < 16:
        deeper = common_depth({"dark.png": 3, "bright.png": largest + 1}, None, where="")
        assert deeper is not None
        assert deeper.bits == bits + 2
    ramp = scaled(np.array([0, largest]), bits)
    np.testing.assert_array_equal(ramp, [0, 255])


def test_without_deep_images_there_is_no_depth() -> None:
    assert common_depth({}, 12, where="") is None


def test_a_declared_depth_goes_before_the_observed_one() -> None:
    found = common_depth({"a.png": 700}, 12, where="")
    assert found is not None
    assert (found.bits, found.is_declared) == (12, True)
    assert str(found) == "1 images deeper than 8 bits, scaled as 12-bit (declared; largest value 700 of 4095)"


def test_a_value_over_the_declared_depth_is_refused_with_its_file() -> None:
    with pytest.raises(DatasetError) as caught:
        common_depth({"a.png": 700, "b.png": 4096}, 12, where="conf/dataset/x.yaml")
    assert str(caught.value) == (
        "conf/dataset/x.yaml: depth_bits: expected values up to 4095, as of 12 bits, found 4096 in b.png; "
        "set more bits, or null to take what the largest value needs"
    )


def test_twelve_bits_become_every_level_of_eight(tmp_path: Path) -> None:
    values = np.linspace(0, 4095, 256).round().astype(np.uint16).reshape(16, 16, 1)
    found = pixels(deep_png(values), tmp_path, depth_bits=12)
    np.testing.assert_array_equal(found[..., 0].ravel(), np.arange(256))
    as_sixteen = pixels(deep_png(values), tmp_path, depth_bits=16)
    assert as_sixteen.max() == 16  # what they were taken for: 17 levels next to black


@pytest.mark.parametrize("num_channels", [1, 3])
def test_sixteen_bits_are_scaled_as_ever(tmp_path: Path, num_channels: int) -> None:
    values = noise(num_channels)
    expected = np.broadcast_to(np.rint(values / 257), (16, 16, 3))
    np.testing.assert_array_equal(pixels(deep_png(values), tmp_path, depth_bits=16), expected)


@pytest.mark.parametrize("num_channels", [2, 4])
def test_alpha_lies_over_white_whether_its_writer_scaled_it_or_not(tmp_path: Path, num_channels: int) -> None:
    values = noise(num_channels, bits=12)
    opaque = {}
    for alpha in (4095, 65535):
        values[..., -1] = alpha
        opaque[alpha] = pixels(deep_png(values), tmp_path, depth_bits=12)
    np.testing.assert_array_equal(opaque[4095], opaque[65535])
    np.testing.assert_array_equal(opaque[4095], np.broadcast_to(scaled(values[..., :-1], 12), (16, 16, 3)))
    values[..., -1] = 0
    np.testing.assert_array_equal(pixels(deep_png(values), tmp_path, depth_bits=12), 255)


@pytest.mark.parametrize("num_channels", [1, 3])
def test_a_colour_that_means_transparent_is_white(tmp_path: Path, num_channels: int) -> None:
    values = np.zeros((16, 16, num_channels), dtype=np.uint16)
    values[:8] = 256  # of which 8 bits tell nothing from 257
    values[8:] = 257
    clear = (b"tRNS", np.full(num_channels, 257).astype(">u2").tobytes())
    found = pixels(deep_png(values, clear), tmp_path, depth_bits=10)
    np.testing.assert_array_equal(found[:8], 64)
    np.testing.assert_array_equal(found[8:], 255)


def test_exif_rotation_is_applied_to_deep_images(tmp_path: Path) -> None:
    values = np.zeros((16, 24, 1), dtype=np.uint16)
    values[:8] = 4095
    exif = Image.Exif()
    exif[ORIENTATION] = 6  # the picture's top is stored at the left
    seen = look(deep_png(values, (b"eXIf", exif.tobytes().removeprefix(b"Exif\0\0"))), tmp_path, depth_bits=12)
    assert (seen.width, seen.height) == (16, 24)
    assert seen.pixels is not None
    np.testing.assert_array_equal(seen.pixels[:, 8:], 255)
    np.testing.assert_array_equal(seen.pixels[:, :8], 0)


def test_a_truncated_deep_file_is_unreadable(tmp_path: Path) -> None:
    content = deep_png(noise(3))
    assert look(content[: len(content) // 2], tmp_path, depth_bits=None).verdict == "unreadable"


def test_without_a_depth_a_deep_image_tells_its_largest_colour_and_has_no_pixels_yet(tmp_path: Path) -> None:
    values = noise(4, bits=12)
    values[..., 3] = 65535
    seen = look(deep_png(values), tmp_path, depth_bits=None)
    assert (seen.verdict, seen.largest_value, seen.pixels) == ("used", int(values[..., :3].max()), None)
