"""Copies of a picture, as they come into a folder: of other sizes, in other files, cropped, marked, in other shades."""

import io
from collections.abc import Callable

from PIL import Image, ImageDraw, ImageEnhance, ImageFont, ImageOps

Copying = Callable[[Image.Image], Image.Image]


def resized(factor: float) -> Copying:
    """Scale both sides."""

    def copy(picture: Image.Image) -> Image.Image:
        width, height = (max(8, round(factor * side)) for side in picture.size)
        return picture.resize((width, height), Image.Resampling.BICUBIC)

    return copy


def compressed(quality: int) -> Copying:
    """Write a JPEG file of this quality, and read it."""

    def copy(picture: Image.Image) -> Image.Image:
        buffer = io.BytesIO()
        picture.save(buffer, "jpeg", quality=quality)
        return Image.open(buffer).convert("RGB")

    return copy


def cropped(share: float, *, all_sides: bool = False) -> Copying:
    """Cut a share of the width off on the left, or of width and height off on all four sides."""

    def copy(picture: Image.Image) -> Image.Image:
        width, height = picture.size
        across, down = max(1, round(share * width)), max(1, round(share * height))
        box = (across, down, width - across, height - down) if all_sides else (across, 0, width, height)
        return picture.crop(box)

    return copy


def brightened(factor: float) -> Copying:
    """Multiply all shades."""
    return lambda picture: ImageEnhance.Brightness(picture).enhance(factor)


def marked(picture: Image.Image) -> Image.Image:
    """Write a name over the lower right of a picture, in white."""
    copy = picture.copy()
    font = ImageFont.load_default(size=max(8, picture.width // 14))
    ImageDraw.Draw(copy).text((picture.width * 0.5, picture.height * 0.85), "© somebody", fill="white", font=font)
    return copy


def grey(picture: Image.Image) -> Image.Image:
    """Take the colours out."""
    return picture.convert("L").convert("RGB")


def several(picture: Image.Image) -> Image.Image:
    """Crop 2 % off one side, halve the size, and compress."""
    return compressed(60)(resized(0.5)(cropped(0.02)(picture)))


COPIES: dict[str, Copying] = {
    "resized to 50 %": resized(0.5),
    "resized to 200 %": resized(2.0),
    "JPEG of quality 60": compressed(60),
    "JPEG of quality 30": compressed(30),
    "cropped by 2 % on one side": cropped(0.02),
    "cropped by 5 % on one side": cropped(0.05),
    "cropped by 10 % on one side": cropped(0.1),
    "cropped by 2 % on all sides": cropped(0.02, all_sides=True),
    "cropped by 5 % on all sides": cropped(0.05, all_sides=True),
    "10 % brighter": brightened(1.1),
    "10 % darker": brightened(0.9),
    "grey": grey,
    "a name written over it": marked,
    "cropped by 2 %, halved, JPEG 60": several,
    "mirrored": ImageOps.mirror,
}
