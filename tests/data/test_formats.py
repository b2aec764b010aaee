"""A format that only some installations read is read there, and named elsewhere with what it wants."""

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from PIL import features

from backbench.data.ingest.decode import decode
from backbench.data.ingest.formats import formats, suffixes, verdict_on
from backbench.data.ingest.pixels import PixelRule
from tests.support.image_folders import config_for, picture, save

RULE = PixelRule(side_pixels=16, resize="crop", depth_bits=None)
HAS_HEIC = find_spec("pillow_heif") is not None


def container(*brands: bytes) -> bytes:
    """Spell the first box of an ISO container, with the major brand first, and some bytes of the next."""
    box = b"ftyp" + brands[0] + b"\0\0\0\0" + b"".join(brands[1:])
    return (len(box) + 4).to_bytes(4, "big") + box + b"\0\0\0\x20metaavif"


@pytest.mark.skipif(not features.check("avif"), reason="this Pillow was built without AVIF")
def test_avif_is_read_where_pillow_reads_it(tmp_path: Path) -> None:
    smooth = picture(1, size=(4, 4)).resize((16, 16))
    seen = decode(save(smooth, tmp_path / "image.avif"), config_for(tmp_path), RULE)
    assert seen.verdict == "used"
    assert seen.pixels is not None
    assert np.abs(seen.pixels.astype(int) - np.asarray(smooth)).mean() < 20
    cut = (tmp_path / "image.avif").read_bytes()[:-200]
    assert decode(cut, config_for(tmp_path), RULE).verdict == "unreadable"


@pytest.mark.skipif(not HAS_HEIC, reason="pillow-heif is not installed; pip install 'backbench[heic]'")
def test_heic_is_read_with_its_extra(tmp_path: Path) -> None:
    assert "HEIF" in formats()
    smooth = picture(1, size=(4, 4)).resize((64, 64))
    seen = decode(save(smooth, tmp_path / "image.heic"), config_for(tmp_path), RULE)
    assert seen.verdict == "used"
    assert seen.pixels is not None
    assert np.abs(seen.pixels.astype(int) - np.asarray(smooth.resize((16, 16)))).mean() < 20


@pytest.mark.parametrize(
    ("brands", "with_extras", "without"),
    [
        ((b"heic", b"mif1", b"heic"), "unreadable", "HEIC, which needs the extra heic"),
        ((b"mif1", b"heic"), "unreadable", "HEIC, which needs the extra heic"),
        ((b"avif", b"mif1"), "unreadable", "AVIF, which this Pillow does not read"),
        ((b"mif1", b"avif"), "unreadable", "AVIF, which this Pillow does not read"),
        ((b"isom", b"mp42"), "not an image", "not an image"),
    ],
)
def test_what_a_container_wants_is_said(
    monkeypatch: pytest.MonkeyPatch, brands: tuple[bytes, ...], with_extras: str, without: str
) -> None:
    for is_there, verdict in ((True, with_extras), (False, without)):
        monkeypatch.setattr("backbench.data.ingest.formats._has_avif", lambda is_there=is_there: is_there)
        read = ("HEIF",) if is_there else ()
        monkeypatch.setattr("backbench.data.ingest.formats.formats", lambda read=read: read)
        assert verdict_on(container(*brands)) == verdict


def test_names_of_images_have_these_endings_whether_they_can_be_read_or_not() -> None:
    assert {".jpg", ".png", ".tif", ".tiff", ".avif", ".heic", ".heif", ".webp"} <= suffixes()
    assert suffixes().isdisjoint({".csv", ".parquet", ".pdf", ".txt", ".psd"})
