"""Stacks of pictures in one file: .mrcs, .tif and .npy, written picture by picture."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32

from mcevae.base.errors import UserError
from mcevae.base.files import atomic

LARGE = 2**31
"""Bytes from which a TIFF is a BigTIFF, which few old programs read."""
Stack = Float32[np.ndarray, "n *picture"]


@contextmanager
def mrcs(path: Path, shape: tuple[int, ...]) -> Iterator[Stack]:
    """A stack as MRC, 32-bit floats."""
    import mrcfile

    with mrcfile.new_mmap(path, shape, mrc_mode=2) as file:
        file.set_image_stack()
        assert file.data is not None
        yield file.data
        file.update_header_stats()


@contextmanager
def tiff(path: Path, shape: tuple[int, ...]) -> Iterator[Stack]:
    """A stack as TIFF, 32-bit floats: a page for each picture or each of its channels."""
    import tifffile

    colours = "rgb" if len(shape) == 4 and shape[-1] == 3 else "minisblack"
    how: dict[str, Any] = {"photometric": colours, "metadata": None}
    channels = len(shape) == 4 and colours != "rgb"
    if channels:
        shape = (shape[0], shape[3], *shape[1:3])
        how = {"imagej": True, "metadata": {"axes": "TCYX"}}
    elif 4 * np.prod(shape) > LARGE:
        how["bigtiff"] = True
    stack = tifffile.memmap(path, shape=shape, dtype=np.float32, **how)
    yield np.moveaxis(stack, 1, -1) if channels else stack
    stack.flush()


@contextmanager
def npy(path: Path, shape: tuple[int, ...]) -> Iterator[Stack]:
    """A stack for NumPy, (n, H, W) or (n, H, W, C), 32-bit floats."""
    stack = np.lib.format.open_memmap(path, "w+", np.float32, shape)
    yield stack
    stack.flush()


Opener = Callable[[Path, tuple[int, ...]], AbstractContextManager[Stack]]
STACKS: dict[str, tuple[Opener, str | None]] = {
    ".mrcs": (mrcs, "mrcfile"),
    ".mrc": (mrcs, "mrcfile"),
    ".tif": (tiff, "tifffile"),
    ".tiff": (tiff, "tifffile"),
    ".npy": (npy, None),
}
"""What opens a stack of each ending, and the package (extra `microscopy`) that it needs."""


def is_stack(out: Path) -> bool:
    """Whether a path is that of a stack."""
    return out.suffix.lower() in STACKS


def check_stack(out: Path) -> None:
    """Check that the package is there that writes a stack of this ending.

    Raises:
        UserError: it is not.
    """
    package = STACKS[out.suffix.lower()][1]
    if package is not None:
        try:
            __import__(package)
        except ImportError:
            raise UserError(f"{out}: needs {package}; pip install 'mcevae[microscopy]'.") from None


@contextmanager
def stack_at(out: Path, shape: tuple[int, ...]) -> Iterator[Stack]:
    """Yield a stack to fill; it is at its path when the context ends without an error.

    Args:
        out: .mrcs, .tif or .npy.
        shape: (n, H, W), or (n, H, W, C) with colours or channels.

    Raises:
        UserError: an .mrcs is asked for colours, or the file cannot be written.
    """
    opener = STACKS[out.suffix.lower()][0]
    if opener is mrcs and len(shape) == 4:
        raise UserError(
            f"{out}: MRC files hold no colours or channels; give an --out that ends in .tif or "
            ".npy, or a folder."
        )
    with atomic(out) as temporary, opener(temporary, shape) as stack:
        yield stack
