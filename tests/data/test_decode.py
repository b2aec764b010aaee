"""Every format, mode and rotation becomes one upright RGB square; every damaged file a verdict."""

import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from backbench.data.ingest.decode import Decoded, bounded, decode, rgb
from backbench.data.ingest.pixels import PixelRule
from tests.support.image_folders import config_for, picture, png, save

CONFIG = config_for(Path("data"))
ORIENTATION = 0x0112
RULE = PixelRule(side_pixels=16, resize="crop", depth_bits=16)


@pytest.fixture(autouse=True)
def as_scan_calls_it() -> Iterator[None]:
    with bounded(CONFIG.max_image_pixels):
        yield


def look(path: Path, rule: PixelRule = RULE) -> Decoded:
    return decode(path, CONFIG, rule)


def quarters() -> Image.Image:
    """Red, green over blue, white: upright and unmirrored it can be told from its rotations."""
    pixels = np.zeros((16, 16, 3), dtype=np.uint8)
    pixels[:8, :8], pixels[:8, 8:], pixels[8:, :8], pixels[8:, 8:] = (255, 0, 0), (0, 255, 0), (0, 0, 255), 255
    return Image.fromarray(pixels)


def decoded_pixels(seen: Decoded) -> np.ndarray:
    assert seen.verdict == "used"
    assert seen.pixels is not None
    assert seen.pixels.shape == (16, 16, 3)
    assert seen.pixels.dtype == np.uint8
    return seen.pixels


@pytest.mark.parametrize(("suffix", "tolerance"), [("png", 0), ("bmp", 0), ("gif", 0), ("webp", 60), ("jpg", 60)])
def test_every_format_is_read(tmp_path: Path, suffix: str, tolerance: int) -> None:
    path = save(quarters(), tmp_path / f"image.{suffix}")
    pixels = decoded_pixels(look(path))
    difference = np.abs(pixels.astype(int) - np.asarray(quarters()).astype(int))
    corners = difference[[2, 2, 13, 13], [2, 13, 2, 13]]
    assert corners.max() <= tolerance


def test_a_wrong_suffix_does_not_matter(tmp_path: Path) -> None:
    save(quarters(), tmp_path / "image.png").rename(tmp_path / "image.jpg.txt")
    np.testing.assert_array_equal(decoded_pixels(look(tmp_path / "image.jpg.txt")), np.asarray(quarters()))


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"])
def test_every_png_mode_is_read(tmp_path: Path, mode: str) -> None:
    grey = Image.new("L", (16, 16), 255)
    image = Image.fromarray(np.full((16, 16), 65535, dtype=np.uint16)) if mode == "I;16" else grey.convert(mode)
    assert image.mode == mode
    np.testing.assert_array_equal(decoded_pixels(look(save(image, tmp_path / "image.png"))), 255)


def test_cmyk_is_read(tmp_path: Path) -> None:
    path = save(Image.new("CMYK", (16, 16), (0, 255, 255, 0)), tmp_path / "image.jpg")
    red = decoded_pixels(look(path))[8, 8]
    assert red[0] > 200
    assert red[1:].max() < 60


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_transparency_lies_over_white(tmp_path: Path, mode: str) -> None:
    clear = Image.new("RGBA", (16, 16), (0, 0, 0, 0))
    image = clear.convert(mode) if mode != "P" else Image.new("P", (16, 16), 0)
    path = tmp_path / "image.png"
    if mode == "P":
        image.info["transparency"] = 0
    image.save(path)
    np.testing.assert_array_equal(decoded_pixels(look(path)), 255)


@pytest.mark.parametrize("suffix", ["gif", "webp", "png"])
def test_the_first_frame_of_an_animation_is_read(tmp_path: Path, suffix: str) -> None:
    frames = [Image.new("RGB", (16, 16), colour) for colour in ("white", "black")]
    path = tmp_path / f"image.{suffix}"
    frames[0].save(path, save_all=True, append_images=frames[1:])
    np.testing.assert_array_equal(decoded_pixels(look(path)), 255)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_rotation_is_applied(tmp_path: Path, orientation: int) -> None:
    undo = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    stored = quarters().transpose(undo[orientation]) if orientation in undo else quarters()
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    stored.save(tmp_path / "image.png", exif=exif)
    np.testing.assert_array_equal(decoded_pixels(look(tmp_path / "image.png")), np.asarray(quarters()))


def test_width_and_height_are_those_of_the_upright_picture(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    picture(0, size=(40, 20)).save(tmp_path / "image.jpg", exif=exif)
    seen = look(tmp_path / "image.jpg")
    assert (seen.width, seen.height) == (20, 40)


def test_damaged_exif_does_not_cost_the_picture(tmp_path: Path) -> None:
    path = tmp_path / "image.jpg"
    quarters().save(path, exif=b"Exif\x00\x00MM\x00\x2a\xff\xff\xff\xff")
    decoded_pixels(look(path))


@pytest.mark.parametrize("suffix", ["png", "jpg", "bmp", "gif", "webp"])
@pytest.mark.parametrize("kept", [0.95, 0.5, 0.1])
def test_truncated_files_are_unreadable(tmp_path: Path, suffix: str, kept: float) -> None:
    path = save(picture(0, size=(64, 64)), tmp_path / f"image.{suffix}")
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * kept)])
    seen = look(path)
    assert seen.verdict == "unreadable"
    assert seen.pixels is None


@pytest.mark.parametrize("start", [b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"RIFF\x10\x00\x00\x00WEBP"])
def test_a_bare_signature_is_unreadable(tmp_path: Path, start: bytes) -> None:
    path = tmp_path / "image"
    path.write_bytes(start)
    assert look(path).verdict == "unreadable"


@pytest.mark.parametrize("content", [b"", b"labels: none\n", b"%PDF-1.7", b"<svg/>"])
def test_other_files_are_not_images(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "image.png"
    path.write_bytes(content)
    assert look(path) == Decoded("not an image")


def test_flipped_bytes_never_raise(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    path = tmp_path / "image"
    for suffix in ("png", "jpeg", "gif", "webp", "bmp"):
        buffer = io.BytesIO()
        picture(1, size=(24, 24)).save(buffer, suffix)
        for _ in range(60):
            damaged = np.frombuffer(buffer.getvalue(), dtype=np.uint8).copy()
            damaged[random.integers(len(damaged), size=8)] = random.integers(256, size=8)
            path.write_bytes(damaged.tobytes())
            assert look(path).verdict in {"used", "unreadable", "too small", "too large", "not an image"}


def test_small_files_are_too_small(tmp_path: Path) -> None:
    path = save(picture(0, size=(7, 100)), tmp_path / "image.png")
    assert look(path) == Decoded("too small", 7, 100)


def test_large_files_are_refused_by_their_header(tmp_path: Path) -> None:
    path = tmp_path / "image.png"
    path.write_bytes(png(10_000, 6_000, bit_depth=8, colour_type=2, rows=b""))
    assert look(path) == Decoded("too large", 10_000, 6_000)


def test_a_decompression_bomb_is_too_large(tmp_path: Path) -> None:
    path = tmp_path / "image.png"
    path.write_bytes(png(2**31 - 1, 2**31 - 1, bit_depth=8, colour_type=2, rows=b""))
    assert look(path).verdict == "too large"


def test_pillow_keeps_its_own_limit_outside() -> None:
    outside = Image.MAX_IMAGE_PIXELS
    with bounded(7):
        assert Image.MAX_IMAGE_PIXELS == 7
    assert outside == Image.MAX_IMAGE_PIXELS


def test_rgb_returns_rgb() -> None:
    assert rgb(Image.new("YCbCr", (8, 8))).mode == "RGB"
