"""PNG, JPEG, WebP, BMP and TIFF, read with Pillow."""

from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from mcevae.images.readers.frames import Unreadable, quietly, within_bounds
from mcevae.images.readers.tiff import scientific_tiff

FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "TIFF")
"""Names that Pillow has for them."""
PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff")


def picture(path: Path) -> Iterator[np.ndarray]:
    """PNG, JPEG, WebP, BMP and TIFF, turned as their EXIF says; all pages of a TIFF."""
    yield from pages(path)


def pages(path: Path, content: bytes | None = None) -> Iterator[np.ndarray]:
    """Pages of a picture: of a file, or of bytes that one holds."""
    try:
        with quietly():
            file = path if content is None else BytesIO(content)
            image = Image.open(file, formats=FORMATS)  # other decoders start programs
        with image:
            for page in range(getattr(image, "n_frames", 1) if image.format == "TIFF" else 1):
                with quietly():
                    image.seek(page)
                    within_bounds(image.size)
                    pixels = as_array(ImageOps.exif_transpose(image))
                yield pixels
    except UnidentifiedImageError as error:
        if path.suffix.lower() in (".tif", ".tiff") and path.read_bytes()[:2] in (b"II", b"MM"):
            yield from scientific_tiff(path)
        else:
            raise Unreadable("is not an image, or a damaged one") from error
    except Image.DecompressionBombError as error:
        raise Unreadable("has too many pixels") from error


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
