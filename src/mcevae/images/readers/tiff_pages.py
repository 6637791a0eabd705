"""Pages of TIFF files: their numbers as they were meant.

Black may be the largest number, opacity may be multiplied into colours, samples may lie plane by
plane, and pages may be kept turned.
"""

from io import BytesIO
from typing import Any

import numpy as np
from PIL import ImageOps

from mcevae.images.readers.frames import MOST_BYTES, Unreadable, quietly, within_bounds
from mcevae.images.readers.pillow import Source, as_array, opened

WHITE_IS_ZERO, BLACK_IS_ZERO, RGB, PALETTE = range(4)
"""Values of PhotometricInterpretation."""
UNKNOWN, PREMULTIPLIED, OPACITY = range(3)
"""Values of ExtraSamples."""
MIRROR = True
TURNS = {
    2: (0, MIRROR),
    3: (2, False),
    4: (2, MIRROR),
    5: (3, MIRROR),
    6: (3, False),
    7: (1, MIRROR),
    8: (1, False),
}
"""For each Orientation: quarter turns against the clock, then whether left and right change."""


def modest(page: Any) -> None:
    """Refuse pages of a TIFF that would fill the memory.

    Raises:
        Unreadable: the frame is too large or empty, or its packed data are for more pixels.
    """
    within_bounds((page.imagewidth, page.imagelength))
    if page.nbytes == 0:  # there may be any number of these
        raise Unreadable("has a frame without pixels")
    if page.nbytes > MOST_BYTES:
        raise Unreadable(f"has a frame of {page.nbytes:,} bytes, more than {MOST_BYTES:,}")
    if page.compression != 1 and sum(page.databytecounts) > 2 * page.nbytes + 2**16:
        raise Unreadable("has more data than its size allows")


def page_pixels(page: Any, file: Source) -> tuple[np.ndarray, bool]:
    """Pixels of a page as they were meant.

    Returns:
        (..., H, W) or (..., H, W, S), and whether there are samples S.

    Raises:
        Unreadable: the page is too large, or its compression needs a package that is missing.
    """
    modest(page)
    if is_plain(page):
        try:
            pixels = by_pillow(page, file)
            return pixels, pixels.ndim == 3
        except (Unreadable, OSError, ValueError, SyntaxError, KeyError):
            if page.photometric not in (WHITE_IS_ZERO, BLACK_IS_ZERO, RGB):
                raise  # else Pillow may not know the compression
    pixels = stored(page)
    if "S" in page.axes:
        pixels = np.moveaxis(pixels, page.axes.index("S"), -1)
    sampled = "S" in page.axes or (page.photometric == PALETTE and page.bitspersample > 8)
    return turned(finished(pixels, page), page), sampled


def is_plain(page: Any) -> bool:
    """Whether a page is a picture of 8 bits that Pillow reads right."""
    extra = tuple(page.extrasamples)
    samples = {WHITE_IS_ZERO: 1, BLACK_IS_ZERO: 1, PALETTE: 1, RGB: 3, 5: 4, 6: 3}
    return (
        page.bitspersample in (1, 2, 4, 8)
        and page.sampleformat in (1, 4)
        and page.samplesperpixel == samples.get(int(page.photometric), 0) + len(extra)
        and (not extra or (extra == (OPACITY,) and page.photometric in (BLACK_IS_ZERO, RGB)))
    )


def by_pillow(page: Any, file: Source) -> np.ndarray:
    """Pixels of a plain page, turned as it says."""
    if isinstance(file, BytesIO):
        file.seek(0)
    with opened(file) as image, quietly():
        image.seek(page.index)
        return as_array(ImageOps.exif_transpose(image))


def stored(page: Any) -> np.ndarray:
    """Numbers of a page as they are stored.

    Raises:
        Unreadable: its compression needs imagecodecs, which is missing.
    """
    try:
        return page.asarray(maxworkers=1)
    except ValueError as error:
        if "imagecodecs" in str(error):
            raise Unreadable(
                f"is packed in a way ({page.compression!r}) that needs imagecodecs; "
                "pip install 'mcevae[microscopy]'"
            ) from error
        raise


def finished(pixels: np.ndarray, page: Any) -> np.ndarray:
    """Pixels with zero as black, and opacity apart from colours.

    Args:
        pixels: as stored, (..., H, W) or (..., H, W, S).
        page: that says how they are meant.
    """
    if page.photometric == WHITE_IS_ZERO:
        pixels = inverted(pixels, page.bitspersample)
    if page.photometric == PALETTE and page.colormap is not None and page.bitspersample > 8:
        return page.colormap.T[pixels]
    extra = tuple(page.extrasamples)
    if pixels.ndim < 3 or pixels.shape[-1] != page.samplesperpixel or len(extra) != 1:
        return pixels
    colours, opacity = pixels[..., :-1], pixels[..., -1:]
    if extra[0] == UNKNOWN:  # not opacity, as far as the file says
        return pixels if page.photometric in (WHITE_IS_ZERO, BLACK_IS_ZERO) else colours
    if extra[0] == PREMULTIPLIED:
        colours = divided(colours, opacity)
    if colours.shape[-1] == 1:
        colours = np.repeat(colours, 3, -1)
    return np.concatenate([colours, opacity], -1)


def inverted(pixels: np.ndarray, bits: int) -> np.ndarray:
    """Numbers whose least is black, of those whose least is white."""
    if pixels.dtype.kind == "u":
        return (2**bits - 1 - pixels.astype(np.uint64)).astype(pixels.dtype)
    return ~pixels if pixels.dtype.kind in "bi" else -pixels


def divided(colours: np.ndarray, opacity: np.ndarray) -> np.ndarray:
    """Colours into which opacity was multiplied, as they were before."""
    kind = colours.dtype
    full = float(np.iinfo(kind).max) if kind.kind in "ui" else 1.0
    share = np.where(opacity > 0, opacity / full, 1.0)
    plain = colours / share
    return plain.astype(kind) if kind.kind == "f" else plain.round().clip(0, full).astype(kind)


def turned(pixels: np.ndarray, page: Any) -> np.ndarray:
    """Pixels (H, W) or (H, W, S), turned as the tag Orientation says."""
    tag = page.tags.get(274)
    quarters, mirror = TURNS.get(int(tag.value) if tag is not None else 1, (0, False))
    if pixels.ndim > 3 or not (quarters or mirror):
        return pixels
    pixels = np.rot90(pixels, quarters)
    return np.fliplr(pixels) if mirror else pixels
