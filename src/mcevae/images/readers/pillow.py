"""Pictures of 8 bits, and grey ones of more, as Pillow reads them."""

from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from mcevae.images.readers.frames import Unreadable, quietly

FORMATS = ("PNG", "JPEG", "MPO", "WEBP", "BMP", "DIB", "TIFF", "GIF", "PPM", "JPEG2000", "AVIF")
"""Names that Pillow has for what it opens; its other decoders are old, or start programs."""
Source = Path | BytesIO
"""A file, or the bytes of one."""


def opened(file: Source, *more: str) -> Image.Image:
    """Open a picture of a known format.

    Args:
        file: to open.
        more: formats beside `FORMATS`, of plugins that were registered.

    Raises:
        Unreadable: it is none, or has too many pixels.
    """
    try:
        with quietly():
            return Image.open(file, formats=(*(set(FORMATS) & set(registered())), *more))
    except UnidentifiedImageError as error:
        raise Unreadable("is not an image, or a damaged one") from error
    except Image.DecompressionBombError as error:
        raise Unreadable("has too many pixels") from error


def registered() -> list[str]:
    """The formats that this build of Pillow reads."""
    Image.init()
    return list(Image.OPEN)


def as_array(image: Image.Image) -> np.ndarray:
    """A Pillow image as numbers: grey, RGB or RGBA of 8 bits, or grey of more bits as it is."""
    if image.mode.startswith("I;16"):
        return np.asarray(image).astype(np.uint16)
    if image.mode == "I":
        wide = np.asarray(image)
        narrow = wide.min() >= 0 and wide.max() < 2**16  # as Pillow opens grey PNGs of 16 bits
        return wide.astype(np.uint16) if narrow else wide
    if image.mode == "F":
        return np.asarray(image)
    if image.mode in ("LA", "PA", "RGBA", "RGBa", "La") or "transparency" in image.info:
        return np.asarray(image.convert("RGBA"))
    return np.asarray(image.convert("L" if image.mode in ("1", "L") else "RGB"))
