"""Every format, mode and rotation becomes one upright RGB square; every damaged file a verdict."""

import io
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from backbench.data.decode import Decoded, bounded, decode, rgb, square
from tests.image_folders import config_for, picture, save

CONFIG = config_for(Path("data"))
ORIENTATION = 0x0112


@pytest.fixture(autouse=True)
def as_scan_calls_it() -> Iterator[None]:
    with bounded(CONFIG.max_image_pixels):
        yield


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
    pixels = decoded_pixels(decode(path, CONFIG))
    difference = np.abs(pixels.astype(int) - np.asarray(quarters()).astype(int))
    corners = difference[[2, 2, 13, 13], [2, 13, 2, 13]]
    assert corners.max() <= tolerance


def test_a_wrong_suffix_does_not_matter(tmp_path: Path) -> None:
    save(quarters(), tmp_path / "image.png").rename(tmp_path / "image.jpg.txt")
    np.testing.assert_array_equal(decoded_pixels(decode(tmp_path / "image.jpg.txt", CONFIG)), np.asarray(quarters()))


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"])
def test_every_png_mode_is_read(tmp_path: Path, mode: str) -> None:
    grey = Image.new("L", (16, 16), 255)
    image = Image.fromarray(np.full((16, 16), 65535, dtype=np.uint16)) if mode == "I;16" else grey.convert(mode)
    assert image.mode == mode
    np.testing.assert_array_equal(decoded_pixels(decode(save(image, tmp_path / "image.png"), CONFIG)), 255)


def test_sixteen_bit_grey_keeps_its_levels(tmp_path: Path) -> None:
    levels = (np.arange(256, dtype=np.uint16) * 257).reshape(16, 16)
    pixels = decoded_pixels(decode(save(Image.fromarray(levels), tmp_path / "image.png"), CONFIG))
    np.testing.assert_array_equal(pixels[..., 0].ravel(), np.arange(256))


def test_sixteen_bit_colour_is_read(tmp_path: Path) -> None:
    row = b"\x00" + struct.pack(">3H", 65535, 257 * 100, 0) * 16
    path = tmp_path / "image.png"
    path.write_bytes(png(16, 16, bit_depth=16, colour_type=2, rows=row * 16))
    np.testing.assert_array_equal(decoded_pixels(decode(path, CONFIG))[0, 0], [255, 100, 0])


def test_cmyk_is_read(tmp_path: Path) -> None:
    path = save(Image.new("CMYK", (16, 16), (0, 255, 255, 0)), tmp_path / "image.jpg")
    red = decoded_pixels(decode(path, CONFIG))[8, 8]
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
    np.testing.assert_array_equal(decoded_pixels(decode(path, CONFIG)), 255)


@pytest.mark.parametrize("suffix", ["gif", "webp", "png"])
def test_the_first_frame_of_an_animation_is_read(tmp_path: Path, suffix: str) -> None:
    frames = [Image.new("RGB", (16, 16), colour) for colour in ("white", "black")]
    path = tmp_path / f"image.{suffix}"
    frames[0].save(path, save_all=True, append_images=frames[1:])
    np.testing.assert_array_equal(decoded_pixels(decode(path, CONFIG)), 255)


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
    np.testing.assert_array_equal(decoded_pixels(decode(tmp_path / "image.png", CONFIG)), np.asarray(quarters()))


def test_width_and_height_are_those_of_the_upright_picture(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    picture(0, size=(40, 20)).save(tmp_path / "image.jpg", exif=exif)
    seen = decode(tmp_path / "image.jpg", CONFIG)
    assert (seen.width, seen.height) == (20, 40)


def test_damaged_exif_does_not_cost_the_picture(tmp_path: Path) -> None:
    path = tmp_path / "image.jpg"
    quarters().save(path, exif=b"Exif\x00\x00MM\x00\x2a\xff\xff\xff\xff")
    decoded_pixels(decode(path, CONFIG))


@pytest.mark.parametrize("suffix", ["png", "jpg", "bmp", "gif", "webp"])
@pytest.mark.parametrize("kept", [0.95, 0.5, 0.1])
def test_truncated_files_are_unreadable(tmp_path: Path, suffix: str, kept: float) -> None:
    path = save(picture(0, size=(64, 64)), tmp_path / f"image.{suffix}")
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * kept)])
    seen = decode(path, CONFIG)
    assert seen.verdict == "unreadable"
    assert seen.pixels is None


@pytest.mark.parametrize("start", [b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"RIFF\x10\x00\x00\x00WEBP"])
def test_a_bare_signature_is_unreadable(tmp_path: Path, start: bytes) -> None:
    path = tmp_path / "image"
    path.write_bytes(start)
    assert decode(path, CONFIG).verdict == "unreadable"


@pytest.mark.parametrize("content", [b"", b"labels: none\n", b"%PDF-1.7", b"<svg/>"])
def test_other_files_are_not_images(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "image.png"
    path.write_bytes(content)
    assert decode(path, CONFIG) == Decoded("not an image")


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
            assert decode(path, CONFIG).verdict in {"used", "unreadable", "too small", "too large", "not an image"}


def test_small_files_are_too_small(tmp_path: Path) -> None:
    path = save(picture(0, size=(7, 100)), tmp_path / "image.png")
    assert decode(path, CONFIG) == Decoded("too small", 7, 100)


def test_large_files_are_refused_by_their_header(tmp_path: Path) -> None:
    path = tmp_path / "image.png"
    path.write_bytes(png(10_000, 6_000, bit_depth=8, colour_type=2, rows=b""))
    assert decode(path, CONFIG) == Decoded("too large", 10_000, 6_000)


def test_a_decompression_bomb_is_too_large(tmp_path: Path) -> None:
    path = tmp_path / "image.png"
    path.write_bytes(png(2**31 - 1, 2**31 - 1, bit_depth=8, colour_type=2, rows=b""))
    assert decode(path, CONFIG).verdict == "too large"


def test_a_long_strip_is_cropped_before_it_is_enlarged(tmp_path: Path) -> None:
    config = config_for(Path("data"), image_size_pixels=2048)
    path = save(Image.new("L", (100_000, 8), 7), tmp_path / "image.png")
    seen = decode(path, config)
    assert seen.pixels is not None
    assert seen.pixels.shape == (2048, 2048, 3)


def test_the_central_square_is_kept() -> None:
    pixels = np.zeros((16, 48, 3), dtype=np.uint8)
    pixels[:, 16:32] = 255
    np.testing.assert_array_equal(square(Image.fromarray(pixels), 16), 255)


def test_an_image_of_the_right_size_is_not_resampled() -> None:
    np.testing.assert_array_equal(square(picture(0), 16), np.asarray(picture(0)))


def test_pillow_keeps_its_own_limit_outside() -> None:
    outside = Image.MAX_IMAGE_PIXELS
    with bounded(7):
        assert Image.MAX_IMAGE_PIXELS == 7
    assert outside == Image.MAX_IMAGE_PIXELS


def test_rgb_returns_rgb() -> None:
    assert rgb(Image.new("YCbCr", (8, 8))).mode == "RGB"


def png(width: int, height: int, *, bit_depth: int, colour_type: int, rows: bytes) -> bytes:
    """Spell a PNG file chunk by chunk; Pillow writes neither 16-bit colour nor a header that lies."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width, height, bit_depth, colour_type, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
