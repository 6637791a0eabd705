"""Pictures of more than 8 bits for each colour, which Pillow would cut to 8."""

import re
from io import BytesIO

import numpy as np
from PIL import Image

from mcevae.images.readers.frames import Unreadable
from mcevae.images.readers.pillow import Source

NETPBM = re.compile(rb"P([56])(?:\s+|\s*#[^\n]*\n)+?(\d+)\s+(\d+)\s+(\d+)\s")
"""Binary PGM and PPM: kind, width, height, largest value."""
SIZE = b"\xff\x4f\xff\x51"
"""How the codestream of JPEG 2000 begins; 38 bytes later are its channels and their bits."""


def deep_picture(file: Source, image: Image.Image, start: bytes) -> np.ndarray | None:
    """Numbers of a picture that Pillow would cut to 8 bits, None if it would not.

    Args:
        file: of the picture.
        image: the same, opened by Pillow.
        start: its first bytes.

    Raises:
        Unreadable: reading it needs a package that is missing, or it is damaged.
    """
    if image.format == "PNG" and start[24] == 16 and start[25] in (2, 4, 6):
        return with_opacity(decoded("png", file))
    if image.format == "PPM":
        return netpbm(content_of(file))
    if image.format == "JPEG2000" and image.mode in ("RGB", "RGBA", "LA"):
        content = content_of(file)
        place = content.find(SIZE) + 42
        if place > 41 and place < len(content) and content[place] & 0x7F > 7:
            return with_opacity(decoded("jpeg2k", file))
    return None


def content_of(file: Source) -> bytes:
    """The bytes of a file."""
    return file.getvalue() if isinstance(file, BytesIO) else file.read_bytes()


def decoded(kind: str, file: Source) -> np.ndarray:
    """Numbers of a picture by imagecodecs.

    Raises:
        Unreadable: the package is missing.
    """
    try:
        import imagecodecs
    except ImportError:
        raise Unreadable(
            "has colours of more than 8 bits; pip install 'mcevae[microscopy]' reads them"
        ) from None
    return getattr(imagecodecs, f"{kind}_decode")(content_of(file))


def with_opacity(pixels: np.ndarray) -> np.ndarray:
    """Colours and opacity, of grey and opacity; others as they are."""
    if pixels.ndim == 3 and pixels.shape[-1] == 2:
        return pixels[..., [0, 0, 0, 1]]
    return pixels


def netpbm(content: bytes) -> np.ndarray | None:
    """Numbers of a binary PGM or PPM of 16 bits; None if it has 8.

    Raises:
        Unreadable: it ends early.
    """
    found = NETPBM.match(content[:4096])
    if found is None or int(found[4]) < 256:
        return None
    width, height = int(found[2]), int(found[3])
    channels = 3 if found[1] == b"6" else 1
    values = np.frombuffer(content, ">u2", offset=found.end())
    if values.size < width * height * channels:
        raise Unreadable("ends before its last pixel")
    pixels = values[: width * height * channels].astype(np.uint16)
    return pixels.reshape((height, width, 3) if channels == 3 else (height, width))
