"""TIFFs that Pillow cannot read, read with tifffile (extra `microscopy`)."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from mcevae.images.readers.frames import MOST_BYTES, Unreadable, within_bounds


def scientific_tiff(path: Path) -> Iterator[np.ndarray]:
    """Pages of a TIFF that Pillow cannot read, such as colours of 16 bits."""
    try:
        import tifffile
    except ImportError:
        raise Unreadable(
            "is a TIFF of a rare kind; pip install 'mcevae[microscopy]' reads it"
        ) from None
    with tifffile.TiffFile(path) as file:
        for page in file.pages:
            modest(page)
            yield page.asarray(maxworkers=1)


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
