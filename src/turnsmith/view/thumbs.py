"""Small copies of screenshots for the strip of turns.

Thirty screenshots decoded whole are 110 MB in the browser and half a second of its time; small copies are made in
milliseconds each (JPEG decodes at a quarter of its size for a fraction of the cost).
"""

import base64
import io
import warnings

from PIL import Image

WIDTH = 256
"""Pixels: twice what the strip shows, for sharp screens."""
_MOST_PIXELS = 40_000_000
IMAGE_TYPES = ("image/jpeg", "image/png", "image/webp")
"""What is ever served or embedded as an image. SVG is not: it can carry scripts."""


def thumbnail(media_type: str, data: bytes, width: int = WIDTH) -> tuple[str, bytes]:
    """A copy of at most `width` pixels as (media type, bytes); the image itself where it is small, huge or damaged."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(data), formats=("JPEG", "PNG", "WEBP")) as picture:
                if picture.width <= width or picture.width * picture.height > _MOST_PIXELS:
                    return media_type, data
                size = (width, max(1, round(picture.height * width / picture.width)))
                picture.draft("RGB", size)
                small = picture.resize(size, Image.Resampling.BILINEAR)
                buffer = io.BytesIO()
                small.convert("RGB").save(buffer, "JPEG", quality=75)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return media_type, data
    return "image/jpeg", buffer.getvalue()


def data_url(media_type: str, data: bytes) -> str:
    """The image as a URL that holds it."""
    return f"data:{media_type};base64,{base64.b64encode(data).decode()}"
