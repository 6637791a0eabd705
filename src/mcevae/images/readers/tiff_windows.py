"""Windows of TIFF pages: only the strips and tiles that a window touches are read and unpacked."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from mcevae.images.readers.frames import MOST_BYTES, MOST_PIXELS, Unreadable
from mcevae.images.readers.tiff_pages import is_plain
from mcevae.images.readers.views import View

LOSSLESS = (1, 5, 8, 32773, 32946, 50000)
"""Kinds of compression of which every library unpacks the same numbers: none, LZW, deflate,
PackBits, Zstandard."""
JPEG = 7
"""A page of this kind is read in windows only if it is too large to be read whole by Pillow."""


def able(page: Any) -> bool:
    """Whether windows of a page can be read: its pixels lie by rows, each with all its samples."""
    turned = 274 in page.tags and page.tags[274].value != 1
    whole = page.bitspersample in (8, 16, 32, 64) and page.dtype is not None
    grey = page.photometric in (0, 1, 2) or not is_plain(page)
    lossless = page.compression in LOSSLESS and grey
    large = page.compression == JPEG and page.imagewidth * page.imagelength > MOST_PIXELS
    flat = page.imagedepth == 1 and (page.samplesperpixel == 1 or page.planarconfig == 1)
    known = page.axes in ("YX", "YXS") and page.nbytes > 0 and not page.is_subsampled
    return bool((lossless or large) and (known or large) and whole and flat and not turned)


def view_of(page: Any, finish: Callable[[np.ndarray], np.ndarray]) -> View:
    """A page as a view.

    Args:
        page: that is `able`.
        finish: makes the image of stored numbers, (h, w) or (h, w, S); it works pixel by pixel.
    """
    key = page.keyframe
    blank = np.zeros((1, 1, *key.shape[2:]), key.dtype)
    shape = (key.imagelength, key.imagewidth, *finish(blank).shape[2:])
    return View(shape=shape, read=partial(finished_window, page, finish))


def finished_window(
    page: Any, finish: Callable[[np.ndarray], np.ndarray], rows: slice, columns: slice
) -> np.ndarray:
    """The image of some rows and columns."""
    stored = stored_window(page, rows, columns)
    return finish(stored if len(page.keyframe.shape) == 3 else stored[..., 0])


def stored_window(page: Any, rows: slice, columns: slice) -> np.ndarray:
    """Numbers of some rows and columns as they are stored, (h, w, S).

    Raises:
        Unreadable: a strip or tile is missing or damaged.
    """
    key, file = page.keyframe, page.parent.filehandle
    samples = key.samplesperpixel
    kind = key.dtype.newbyteorder(page.parent.byteorder)
    if key.is_contiguous:
        line = key.imagewidth * samples * kind.itemsize
        file.seek(page.dataoffsets[0] + rows.start * line)
        content = file.read((rows.stop - rows.start) * line)
        if len(content) < (rows.stop - rows.start) * line:
            raise Unreadable("ends before its last pixel; copy it again")
        band = np.frombuffer(content, kind).reshape(-1, key.imagewidth, samples)
        return band[:, columns].astype(key.dtype)
    tall, wide = (
        (key.tilelength, key.tilewidth) if key.is_tiled else (key.rowsperstrip, key.imagewidth)
    )
    if tall * wide * samples * kind.itemsize > MOST_BYTES:
        raise Unreadable(f"has strips or tiles of more than {MOST_BYTES:,} bytes")
    across = -(-key.imagewidth // wide)
    size = (rows.stop - rows.start, columns.stop - columns.start, samples)
    window = np.full(size, key.nodata, key.dtype)
    for down in range(rows.start // tall, -(-rows.stop // tall)):
        for right in range(columns.start // wide, -(-columns.stop // wide)):
            piece, top, left = segment(page, down * across + right)
            if piece is not None:
                put(window, piece, top - rows.start, left - columns.start)
    return window


def segment(page: Any, number: int) -> tuple[np.ndarray | None, int, int]:
    """A strip or tile (h, w, S), None if it is left out, and its first row and column.

    Raises:
        Unreadable: it cannot be read.
    """
    key = page.keyframe
    if number >= len(page.dataoffsets):
        raise Unreadable("does not hold all of its strips or tiles; copy it again")
    offset, count = page.dataoffsets[number], page.databytecounts[number]
    if count > MOST_BYTES:
        raise Unreadable("has more data than its size allows")
    more = {"jpegtables": page.jpegtables, "jpegheader": key.jpegheader}
    page.parent.filehandle.seek(offset)
    content = page.parent.filehandle.read(count) if count else None
    try:
        piece, (_, _, top, left, _), _ = key.decode(
            content, number, **(more if key.compression == JPEG else {})
        )
    except ValueError as error:
        if "imagecodecs" not in str(error):
            raise
        raise Unreadable(
            f"is packed in a way ({key.compression!r}) that needs imagecodecs; "
            "pip install 'mcevae[microscopy]'"
        ) from error
    return (None if piece is None else piece[0]), top, left


def put(window: np.ndarray, piece: np.ndarray, top: int, left: int) -> None:
    """Copy what a piece shares with a window; the place of the piece is counted from the window."""
    places, parts = [], []
    for begin, length, whole in zip((top, left), piece.shape, window.shape, strict=False):
        first, last = max(begin, 0), min(begin + length, whole)
        places.append(slice(first, max(first, last)))
        parts.append(slice(first - begin, max(first, last) - begin))
    window[tuple(places)] = piece[tuple(parts)]
