"""People's image files: which there are, and their frames as arrays, one at a time.

Nothing here changes a pixel; `recipe` does. A file that cannot be read is a `Fault` with a reason.
"""

import math
import os
import stat
import warnings
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from difflib import get_close_matches
from io import BufferedIOBase, BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError
from pyarrow import parquet

from mcevae.base.config import BUILT_IN
from mcevae.base.errors import UserError
from mcevae.base.files import write_rows

MOST_PIXELS = 100_000_000
"""Frames larger than this are refused before they are decoded."""
MOST_BYTES = 8 * MOST_PIXELS
"""The same for frames whose pixels take more than a byte."""
ROWS = 64
"""Rows of a table that are in memory at once."""
MOST_EXPANDED, MOST_EXPANSION = 2**30, 200
"""Bytes of an array, and how many times as many as in its archive, beyond both of which it is taken
for a bomb."""


@dataclass(frozen=True)
class Frame:
    """One image as its file has it.

    Attributes:
        name: path below the source, with `#n` for the n-th frame of a file of several.
        pixels: (H, W) or (H, W, 1, 3 or 4), any kind of number; a fourth channel is opacity.
    """

    name: str
    pixels: np.ndarray


@dataclass(frozen=True)
class Fault:
    """A file, or a frame of one, that cannot be used."""

    name: str
    reason: str


def write_faults(faults: Sequence[Fault], path: Path) -> None:
    """Write a table of faults as CSV, if there are any."""
    if faults:
        write_rows(path, ("file", "reason"), [(fault.name, fault.reason) for fault in faults])


class Unreadable(Exception):
    """Why a file or a frame cannot be used, as the end of a sentence that begins with its name."""


def files_of(source: Path) -> list[Path]:
    """Image files that a source names, in the order of their names.

    Args:
        source: an image file, a folder (searched to its depths; hidden files, links to folders and
            files of other kinds are passed over), or a .txt with one path a line, relative to it.

    Raises:
        UserError: there is no such file or folder, or no image file in it.
    """
    if os.path.isdir(source):  # which says no to names that are too long to be any
        found = list(files_below(source))
    elif not os.path.exists(source):
        hints = get_close_matches(str(source).lower(), BUILT_IN, 1)
        hint = "".join(f" (did you mean {name}?)" for name in hints)
        raise UserError(
            f"{source}: there is no such file, folder or set{hint}; check the path, or use "
            f"{', '.join(BUILT_IN)}."
        )
    elif source.suffix.lower() == LISTS:
        try:
            lines = source.read_text("utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(f"{source}: is not a readable list of paths ({error}).") from error
        found = [source.parent / line.strip() for line in lines if line.strip()]
    else:
        found = [source]
    if not found:
        raise UserError(f"{source}: holds no images; give files ending in {', '.join(READERS)}.")
    return found


def files_below(folder: Path) -> Iterator[Path]:
    """Image files below a folder, in the order of their paths' parts.

    Raises:
        UserError: a folder cannot be looked into.
    """
    try:
        with os.scandir(folder) as found:
            entries = sorted(found, key=lambda entry: entry.name)
    except OSError as error:
        raise UserError(f"{folder}: cannot be listed ({error.strerror}).") from error
    for entry in entries:
        if entry.name.startswith("."):
            continue
        if entry.is_dir(follow_symlinks=False):
            yield from files_below(folder / entry.name)
        elif os.path.splitext(entry.name)[1].lower() in READERS and not entry.is_dir():
            yield folder / entry.name


def frames_of(path: Path, name: str) -> Iterator[Frame | Fault]:
    """Frames of one file in order; a fault ends a file, or stands for its only one.

    Args:
        path: of the file.
        name: what frames are called.
    """
    count, held, fault = 0, None, None
    try:
        for pixels in reader_of(path)(path):  # one behind, to know whether there are several
            if held is not None:
                yield Frame(f"{name}#{count}", held)
                count += 1
            held = pixels
        if held is None:
            raise Unreadable("holds no images")
    except UserError:
        raise
    except Unreadable as error:
        fault = Fault(name, str(error))
    except Exception as error:  # damaged files raise whatever their decoders stumble over
        fault = Fault(name, f"cannot be read ({type(error).__name__}: {error})")
    if held is not None:
        yield Frame(f"{name}#{count}" if count or fault else name, held)
    if fault is not None:
        yield fault


def reader_of(path: Path) -> Callable[[Path], Iterator[np.ndarray]]:
    """What reads a file.

    Raises:
        Unreadable: it is not there, is empty, or of a kind that nothing here reads.
    """
    if path.suffix.lower() not in READERS:
        raise Unreadable(f"is of a kind that is not read; use {', '.join(READERS)}")
    try:
        state = path.stat()
    except (OSError, ValueError) as error:
        raise Unreadable("is not there") from error
    if not stat.S_ISREG(state.st_mode):  # a pipe say, which would be waited for
        raise Unreadable("is no file")
    if state.st_size == 0:
        raise Unreadable("is empty")
    return READERS[path.suffix.lower()]


@contextmanager
def quietly() -> Iterator[None]:
    """Without the warnings of odd metadata, which are not our concern."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


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


def within_bounds(size: tuple[int, int]) -> None:
    """Refuse frames that would fill the memory.

    Raises:
        Unreadable: the frame of (width, height) has more than MOST_PIXELS.
    """
    width, height = size
    if width * height > MOST_PIXELS:
        raise Unreadable(f"is {width} x {height}, more than {MOST_PIXELS:,} pixels; cut it up")


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


def scientific_tiff(path: Path) -> Iterator[np.ndarray]:
    """Pages of a TIFF that Pillow does not know, of colours with 16 bits say."""
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


def parquet_table(path: Path) -> Iterator[np.ndarray]:
    """Pictures in a column `image` of a Parquet table: bytes, or a struct with some.

    So Hugging Face datasets, Ray Data and Embedding Atlas keep them. A picture that cannot be read
    ends the table.
    """
    with parquet.ParquetFile(path) as file:
        if "image" not in file.schema_arrow.names:
            raise Unreadable("has no column named image")
        for batch in file.iter_batches(ROWS, columns=["image"]):
            for value in batch.column(0):
                content = value.as_py()
                content = content.get("bytes") if isinstance(content, dict) else content
                if not isinstance(content, bytes):
                    raise Unreadable("has an image that is not kept as bytes")
                if len(content) > MOST_BYTES:
                    raise Unreadable("has an image with too many bytes")
                yield next(pages(path, content))


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


def numpy_array(path: Path) -> Iterator[np.ndarray]:
    """A .npy of one image (H, W), or of many, mapped from disk; `images` of a .npz.

    Pickles are refused, since they run code.
    """
    if path.suffix.lower() == ".npy":
        try:
            with path.open("rb") as file:
                check_header(file, path.stat().st_size)
            stack = np.load(path, mmap_mode="r", allow_pickle=False)
        except Exception as error:  # damaged files raise many types
            raise Unreadable("is not a readable NumPy file of numbers") from error
    elif (stack := from_archive(path, "images")) is None:
        raise Unreadable("has no array named images")
    yield from of_stack(stack)


def from_archive(path: Path, name: str) -> np.ndarray | None:
    """An array of a .npz by its name, None if it has no such one.

    Raises:
        Unreadable: it is damaged, or the array holds Python objects.
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


def check_header(file: BufferedIOBase, size: int) -> None:
    """Refuse arrays that claim what there is not: NumPy would take memory for it, or be ended.

    Args:
        file: at the start of a .npy.
        size: of it, bytes.

    Raises:
        Exception: of many types; it is damaged.
    """
    headers = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }
    shape, _, kind = headers[np.lib.format.read_magic(file)](file)
    if kind.itemsize == 0 or min(shape, default=0) < 0:
        raise ValueError(f"an array of {shape} times nothing")
    if math.prod(shape) * kind.itemsize > size:
        raise ValueError(f"an array of {shape} in {size} bytes")


def unpacked(archive: Any, name: str) -> np.ndarray:
    """An array of an open .npz.

    Raises:
        Unreadable: it would fill the memory: it grows to more than MOST_EXPANDED bytes, and more
            than MOST_EXPANSION-fold.
        Exception: of many types; it is damaged.
    """
    member: zipfile.ZipInfo = archive.zip.getinfo(f"{name}.npy")
    if member.file_size > max(MOST_EXPANDED, MOST_EXPANSION * member.compress_size):
        raise Unreadable(
            f"grows from {member.compress_size:,} to {member.file_size:,} bytes, as no images do; "
            "save it with numpy.savez, unpacked"
        )
    with archive.zip.open(member) as file:
        check_header(file, member.file_size)
    return archive[name]


def of_stack(stack: np.ndarray | None) -> Iterator[np.ndarray]:
    """Images of an array (H, W), (n, H, W) or (n, H, W, C)."""
    if stack is None or stack.ndim not in (2, 3, 4):
        shape = None if stack is None else stack.shape
        raise Unreadable(f"has shape {shape}; use (H, W), (n, H, W) or (n, H, W, C)")
    if stack.size == 0:  # any number of images of nothing
        raise Unreadable(f"has shape {stack.shape}, which holds no pixels")
    for pixels in stack[None] if stack.ndim == 2 else stack:
        within_bounds((pixels.shape[1], pixels.shape[0]))
        yield from_disk(pixels) if isinstance(pixels, np.memmap) else np.asarray(pixels)


def from_disk(pixels: np.memmap) -> np.ndarray:
    """A frame of a mapped file, read rather than looked at.

    A look at what is no longer there, since somebody writes a shorter file, would end the process.

    Raises:
        Unreadable: the file has become shorter.
    """
    whole, path = pixels.base, pixels.filename
    if not pixels.flags.c_contiguous or not isinstance(whole, np.ndarray) or path is None:
        return np.asarray(pixels)
    begin = pixels.offset + pixels.ctypes.data - whole.ctypes.data
    found = np.fromfile(path, pixels.dtype, pixels.size, offset=begin)
    if found.size < pixels.size:
        raise Unreadable("became shorter while it was read")
    return found.reshape(pixels.shape)


LISTS = ".txt"
FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "TIFF")
"""Names that Pillow has for them."""
ARRAYS = (".npy", ".npz")
PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff")
READERS: dict[str, Callable[[Path], Iterator[np.ndarray]]] = {
    **dict.fromkeys(PICTURES, picture),
    **dict.fromkeys(ARRAYS, numpy_array),
    ".parquet": parquet_table,
    ".mrc": mrc,
    ".mrcs": mrc,
}
"""What reads files of each ending."""
