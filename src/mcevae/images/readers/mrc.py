"""MRC files and stacks, read with mrcfile (extra `microscopy`)."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from mcevae.base.errors import UserError
from mcevae.images.readers.arrays import of_stack
from mcevae.images.readers.frames import quietly


def mrc(path: Path) -> Iterator[np.ndarray]:
    """Sections of an MRC file or stack."""
    try:
        import mrcfile
    except ImportError:
        raise UserError(
            f"{path}: MRC files need mrcfile; pip install 'mcevae[microscopy]'."
        ) from None
    with quietly():
        file = mrcfile.mmap(path, mode="r")
    with file:
        yield from of_stack(file.data)
