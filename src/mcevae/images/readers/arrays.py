"""NumPy files: a .npy, or an array of a .npz. Pickles are refused, since they run code."""

import math
import zipfile
from collections.abc import Iterable, Iterator
from functools import partial
from io import BufferedIOBase
from pathlib import Path
from typing import Any

import numpy as np

from mcevae.images.readers.axes import axes_of, images_of
from mcevae.images.readers.channels import held
from mcevae.images.readers.frames import Channels, Found, Unreadable, check_file
from mcevae.images.readers.reading import Reading
from mcevae.images.readers.views import View

MOST_EXPANDED, MOST_EXPANSION = 2**30, 200
"""An array of a .npz is refused if it has more bytes than the first number, and also more than the
second times its packed size."""
ARRAYS = (".npy", ".npz")


def numpy_array(path: Path, reading: Reading) -> Iterator[Found]:
    """A .npy, mapped from disk, or an array of a .npz: `images`, or the only one of images."""
    if path.suffix.lower() == ".npy":
        try:
            with path.open("rb") as file:
                check_header(file, path.stat().st_size)
            stack = np.load(path, mmap_mode="r", allow_pickle=False)
        except Unreadable:
            raise
        except Exception as error:  # damaged files raise many types
            raise Unreadable("is not a readable NumPy file of numbers") from error
    elif (stack := from_archive(path, "images")) is None and (stack := only_images(path)) is None:
        raise Unreadable(f"has no array named images; it has {', '.join(names_in(path)) or 'none'}")
    yield from views_of(stack, reading) if reading.views else of_stack(stack, reading)


def only_images(path: Path) -> np.ndarray | None:
    """The only array of a .npz, or the only one with three axes or more, which images have.

    Returns:
        None if there is no such one, or there are several.

    Raises:
        Unreadable: as for `from_archive`.
    """
    names = names_in(path)
    if len(names) > 1:
        axes = {name: axes_in(path, name) for name in names}
        images = [name for name in names if (axes[name] or 0) >= 3]
        names = images or [name for name in names if axes[name] is None]
    return from_archive(path, names[0]) if len(names) == 1 else None


def axes_in(path: Path, name: str) -> int | None:
    """Number of axes of an array of a .npz, by its header; None if that cannot be read."""
    try:
        with zipfile.ZipFile(path) as archive:
            return len(header_in(archive, name)[0])
    except Exception:  # of many types: whoever reads the array says what is wrong with it
        return None


def arrays_in(path: Path, names: Iterable[str]) -> dict[str, np.ndarray]:
    """Arrays of a .npz by their names; without those that it does not have.

    Raises:
        Unreadable: as for `from_archive`; it names the array.
    """
    found: dict[str, np.ndarray] = {}
    for name in names:
        try:
            array = from_archive(path, name)
        except Unreadable as error:
            raise Unreadable(f"its array {name} {error}") from error
        if array is not None:
            found[name] = array
    return found


def names_in(path: Path) -> list[str]:
    """The names of the arrays of a .npz."""
    with zipfile.ZipFile(path) as archive:
        return [name.removesuffix(".npy") for name in archive.namelist()]


def from_archive(path: Path, name: str) -> np.ndarray | None:
    """An array of a .npz by its name, None if it has no such one.

    Raises:
        Unreadable: the archive is damaged, or the array holds Python objects.
    """
    try:
        with path.open("rb") as file:  # numpy leaves damaged archives that it opened itself open
            archive = np.load(file, allow_pickle=False)
            if isinstance(archive, np.ndarray):
                raise ValueError("one array under the name of an archive")
            return unpacked(archive, name) if name in archive else None
    except Unreadable:
        raise
    except Exception as error:  # damaged files raise many types
        raise Unreadable("is not a readable NumPy file of numbers") from error


def from_file(path: Path) -> np.ndarray:
    """The array of a .npy, in memory.

    Raises:
        Unreadable: it cannot be read, or holds Python objects.
    """
    check_file(path)
    try:
        with path.open("rb") as file:
            check_header(file, path.stat().st_size)
            file.seek(0)
            return np.load(file, allow_pickle=False)
    except Unreadable:
        raise
    except Exception as error:  # damaged files raise many types
        raise Unreadable("is not a readable NumPy file") from error


def check_header(file: BufferedIOBase, size: int) -> tuple[tuple[int, ...], np.dtype]:
    """Refuse arrays whose header claims more than the file holds.

    NumPy would take memory for all that it claims, or crash.

    Args:
        file: at the start of a .npy.
        size: bytes of the file.

    Returns:
        Its shape and number type; the file is at the first number.

    Raises:
        Unreadable: it holds Python objects.
        Exception: of many other types; the file is damaged.
    """
    headers = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }
    shape, _, kind = headers[np.lib.format.read_magic(file)](file)
    if kind.hasobject:
        raise Unreadable(
            f"holds Python objects (dtype {kind}), which could run code; save an array of numbers"
        )
    if kind.itemsize == 0 or min(shape, default=0) < 0:
        raise ValueError(f"an array of {shape} times nothing")
    if math.prod(shape) * kind.itemsize > size:
        raise ValueError(f"an array of {shape} in {size} bytes")
    return shape, kind


def unpacked(archive: Any, name: str) -> np.ndarray:
    """An array of an open .npz.

    Raises:
        Unreadable: it would fill the memory, see `MOST_EXPANDED`.
        Exception: of many types; the archive is damaged.
    """
    member: zipfile.ZipInfo = archive.zip.getinfo(f"{name}.npy")
    if member.file_size > max(MOST_EXPANDED, MOST_EXPANSION * member.compress_size):
        raise Unreadable(
            f"grows from {member.compress_size:,} to {member.file_size:,} bytes, as no images do; "
            "save it with numpy.savez, unpacked"
        )
    header_in(archive.zip, name)
    return archive[name]


def header_in(archive: zipfile.ZipFile, name: str) -> tuple[tuple[int, ...], np.dtype]:
    """Shape and number type of an array of a .npz; errors are those of `check_header`."""
    member = archive.getinfo(f"{name}.npy")
    opened: Any = archive.open(member)
    with opened as file:
        return check_header(file, member.file_size)


def of_stack(stack: np.ndarray, reading: Reading) -> Iterator[np.ndarray | Channels]:
    """Images of an array, (H, W) or (H, W, C), by the axes that it has or that are given."""
    for view in views_of(stack, reading):
        yield held(view.whole(), pictured=True)


def views_of(stack: np.ndarray, reading: Reading) -> Iterator[View]:
    """The same images as views; see `Reading.views` on their size."""
    axes = axes_of(stack.shape, reading)
    for pixels in images_of(stack, axes, bounded=not reading.views):
        yield View(shape=pixels.shape, read=partial(window_of, pixels))


def window_of(pixels: np.ndarray, rows: slice, columns: slice) -> np.ndarray:
    """Rows and columns of an image that may be mapped from disk."""
    band = pixels[rows]
    band = from_disk(band) if isinstance(band, np.memmap) else np.asarray(band)
    return band[:, columns]


def from_disk(pixels: np.memmap) -> np.ndarray:
    """Read a frame of a mapped file from the disk.

    The mapping itself must not be touched: if the file has become shorter, that ends the process.

    Raises:
        Unreadable: the file has become shorter.
    """
    whole, path = pixels.base, pixels.filename
    if not pixels.flags.c_contiguous or not isinstance(whole, np.ndarray) or path is None:
        return np.asarray(pixels)
    begin = pixels.offset + pixels.ctypes.data - whole.ctypes.data
    values = np.fromfile(path, pixels.dtype, pixels.size, offset=begin)
    if values.size < pixels.size:
        raise Unreadable("became shorter while it was read")
    return values.reshape(pixels.shape)
