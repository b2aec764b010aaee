"""Letters and symbols of several alphabets, from fonts that matplotlib ships. There is no digit among them.

Upper and lower case that look alike are one class, and so are letters of two alphabets that do.

Source:
    Characters as a source task: de Campos, Babu and Varma 2009, Character Recognition in Natural Images.
"""

from functools import cache
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.ft2font import FT2Font
from PIL import Image, ImageDraw, ImageFont

from pretraining.formula.ink import EXTENT, FIELD_PIXELS, distance_field, inked, thinned
from pretraining.formula.warping import Plane

FONTS = (
    "DejaVuSans.ttf",
    "DejaVuSans-Oblique.ttf",
    "DejaVuSansMono.ttf",
    "DejaVuSerif.ttf",
    "DejaVuSerif-Italic.ttf",
    "STIXGeneral.ttf",
    "STIXGeneralItalic.ttf",
)

CLASSES: tuple[str, ...] = (
    *("A", "B", "Cc", "D", "E", "F", "G", "H", "J", "Kk", "L", "M", "N", "O", "Pp", "Q", "R", "Ss", "T", "Uu"),
    *("Vv", "Ww", "Xx", "Y", "Zz", "a", "b", "d", "e", "f", "g", "h", "m", "n", "q", "r", "t"),
    *("Γ", "Δ", "Θθ", "Σ", "Ψψ", "Ω", "β", "δ", "ε", "λ", "μ", "ξ", "π", "σ", "τ"),
    *("Ж", "И", "Ч", "Шш", "Ээ", "Яя", "Ъъ", "?", "+", "#", "$", "∂"),
)
"""What each class draws: one of the characters of its entry."""


@cache
def _fonts_with(character: str) -> tuple[str, ...]:
    """Return the fonts that have a character; an empty answer is a mistake in `CLASSES`."""
    folder = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    return tuple(name for name in FONTS if ord(character) in FT2Font(str(folder / name)).get_charmap())


def _bitmap(character: str, font_name: str) -> np.ndarray:
    """Render one character, centred, its longer side `EXTENT` of the field: `(n, n)` bool."""
    path = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / font_name
    font = ImageFont.truetype(str(path), 160, layout_engine=ImageFont.Layout.BASIC)
    canvas = Image.new("L", (400, 400))
    ImageDraw.Draw(canvas).text((200, 200), character, fill=255, font=font, anchor="mm")
    box = canvas.getbbox()
    if box is None:
        raise ValueError(f"expected a font that draws {character!r}, found {font_name}")
    glyph = canvas.crop(box)
    factor = EXTENT * FIELD_PIXELS / max(glyph.size)
    width, height = (max(1, round(side * factor)) for side in glyph.size)
    field = Image.new("L", (FIELD_PIXELS, FIELD_PIXELS))
    resized = glyph.resize((width, height), Image.Resampling.BOX)
    field.paste(resized, ((FIELD_PIXELS - width) // 2, (FIELD_PIXELS - height) // 2))
    return np.asarray(field) > 127


@cache
def _field(character: str, font_name: str, skeleton: bool) -> Plane:
    ink = _bitmap(character, font_name)
    return distance_field(thinned(ink) if skeleton else ink, signed=not skeleton)


def draw(label: int, rng: np.random.Generator, size: int) -> Plane:
    """Draw one character of a class: ink `(size, size)` float32 in [0, 1].

    The stroke follows the letter's skeleton, as a pen would, or its printed outline.
    """
    entry = CLASSES[label]
    character = entry[int(rng.integers(len(entry)))]
    fonts = _fonts_with(character)
    font_name = fonts[int(rng.integers(len(fonts)))]
    skeleton = bool(rng.random() < 0.7)
    field = _field(character, font_name, skeleton)
    if skeleton:
        return inked(field, rng, size, thinnest=0.03, thickest=0.09)
    return inked(field, rng, size, thinnest=-0.01, thickest=0.05)
