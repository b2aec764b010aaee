"""Which formats are read, and what a file that is not read claims to be."""

from contextlib import suppress
from functools import cache

from PIL import Image, features

# Pillow reads AVIF where it was built with it. HEIC's patents keep its decoder out of Pillow: an extra brings it.
PILLOWS = ("JPEG", "PNG", "BMP", "GIF", "WEBP", "TIFF", "AVIF")
HEIC = "HEIF"
READ = "JPEG, PNG, TIFF, BMP, GIF, WebP or AVIF"
TIFF_SIGNATURES = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
SIGNATURES = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"BM", b"GIF87a", b"GIF89a", *TIFF_SIGNATURES)
SIGNATURE_BYTES = 64
# Brands of the containers, https://mp4ra.org: those of AVIF go before those that both may have.
AVIF_BRANDS, HEIC_BRANDS = (b"avif", b"avis"), (b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"msf1")
# As cameras name them; Pillow knows the last only where the extra is installed.
HEIC_SUFFIXES = (".heic", ".heif")

UNREADABLE = "unreadable"
NOT_AN_IMAGE = "not an image"
WANTS_HEIC = "HEIC, which needs the extra heic"
WANTS_AVIF = "AVIF, which this Pillow does not read"


@cache
def formats() -> tuple[str, ...]:
    """Return Pillow's names of the formats that are read here."""
    with suppress(ImportError):
        import pillow_heif

        pillow_heif.register_heif_opener()
        return (*PILLOWS, HEIC)
    return PILLOWS


@cache
def suffixes() -> frozenset[str]:
    """Return the endings of file names of images, in lower case, HEIC's in any case."""
    Image.init()
    names = Image.registered_extensions().items()
    return frozenset((*HEIC_SUFFIXES, *(suffix for suffix, kind in names if kind in formats())))


def verdict_on(start: bytes) -> str:
    """Judge a file that no decoder takes, by its first bytes."""
    if start.startswith(SIGNATURES) or (start[:4] == b"RIFF" and start[8:12] == b"WEBP"):
        return UNREADABLE
    if start[4:8] != b"ftyp":
        return NOT_AN_IMAGE
    length = min(int.from_bytes(start[:4], "big"), len(start))
    brands = [start[8:12], *(start[place : place + 4] for place in range(16, length, 4))]
    if any(brand in AVIF_BRANDS for brand in brands):
        return UNREADABLE if _has_avif() else WANTS_AVIF
    if any(brand in HEIC_BRANDS for brand in brands):
        return UNREADABLE if HEIC in formats() else WANTS_HEIC
    return NOT_AN_IMAGE


@cache
def _has_avif() -> bool:
    return bool(features.check("avif"))
