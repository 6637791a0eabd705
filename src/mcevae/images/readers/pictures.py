"""Pictures by their content: by Pillow, or by others where Pillow would cut numbers to 8 bits."""

from collections.abc import Iterator
from importlib import import_module
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from mcevae.images.readers.deep import deep_picture
from mcevae.images.readers.frames import Found, Unreadable, quietly, within_bounds
from mcevae.images.readers.pillow import Source, as_array, opened
from mcevae.images.readers.reading import Reading
from mcevae.images.readers.tiff import MAGIC, TIFFS, tiff

HEICS = (".heic", ".heif", ".hif")
PICTURES = (
    *(".png", ".apng", ".jpg", ".jpeg", ".jpe", ".jfif", ".webp", ".bmp", ".dib", ".gif"),
    *(".pgm", ".ppm", ".pbm", ".pnm", ".jp2", ".j2k", ".j2c", ".jpx", ".jpf", ".avif"),
    *HEICS,
    *TIFFS,
)
ANIMATED = ("GIF", "PNG", "WEBP", "AVIF")
"""Formats of Pillow whose frames may be an animation."""


def picture(path: Path, reading: Reading) -> Iterator[Found]:
    """Images of a picture: what it is, its content says and not its ending."""
    yield from pages(path, reading)


def pages(file: Source, reading: Reading) -> Iterator[Found]:
    """Images of a file, or of the bytes of one.

    Raises:
        Unreadable: it is no picture, or cannot be read right.
    """
    if isinstance(file, BytesIO):
        start = file.getvalue()[:32]
    else:
        with file.open("rb") as content:
            start = content.read(32)
    if start[:4] in MAGIC:
        yield from tiff(file, reading)
        return
    with opened(file, *plugins(start)) as image:
        within_bounds(image.size)
        if (deep := deep_picture(file, image, start)) is not None:
            yield deep
            return
        frames = getattr(image, "n_frames", 1) if image.format in ANIMATED else 1
        if frames > 1 and reading.animation == "first":
            reading.note(
                f"has {frames} frames, of which the first is read; --animation all reads all"
            )
        for frame in range(frames if reading.animation == "all" else 1):
            yield still(image, frame)


def still(image: Image.Image, frame: int) -> np.ndarray:
    """A frame of an open picture, turned as its EXIF says.

    Raises:
        Unreadable: it has too many pixels.
    """
    with quietly():
        image.seek(frame)
        within_bounds(image.size)
        return as_array(ImageOps.exif_transpose(image))


def plugins(start: bytes) -> tuple[str, ...]:
    """Names of formats that an extra reads, registered if a file begins as they do.

    Raises:
        Unreadable: the file needs the extra, which is missing.
    """
    if start[4:8] != b"ftyp" or start[8:12] in (b"avif", b"avis"):
        return ()
    try:
        import_module("pi_heif").register_heif_opener()
    except ImportError:
        raise Unreadable("is a HEIC picture; pip install 'mcevae[heif]' reads it") from None
    return ("HEIF",)
