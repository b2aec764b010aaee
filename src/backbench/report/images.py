"""Images as text within the page."""

import base64
import io

import numpy as np
from PIL import Image

# Drawn at half of it: sharp on screens of twice the density.
SIDE_PIXELS = 144
JPEG_QUALITY = 85


def data_uri(image: np.ndarray) -> str:
    """Spell a uint8 RGB `(S, S, 3)` image as an address that holds it: whole where small, else a thumbnail."""
    picture, buffer = Image.fromarray(np.asarray(image)), io.BytesIO()
    if max(picture.size) <= SIDE_PIXELS:
        picture.save(buffer, format="PNG")
        return _address("png", buffer)
    picture.thumbnail((SIDE_PIXELS, SIDE_PIXELS), Image.Resampling.LANCZOS)
    picture.save(buffer, format="JPEG", quality=JPEG_QUALITY)
    return _address("jpeg", buffer)


def _address(kind: str, buffer: io.BytesIO) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(buffer.getvalue()).decode()}"
