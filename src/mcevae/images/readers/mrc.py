"""MRC files and stacks: headers as packages write them, and one section at a time from the disk.

The library mrcfile (extra `microscopy`) knows the header's fields and number types. Packages leave
out the word MAP or write odd machine stamps, so the byte order is that in which the sizes fit.
"""

import bz2
import gzip
import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, Literal

import numpy as np

from mcevae.base.errors import UserError
from mcevae.images.readers.frames import MOST_BYTES, Found, Unreadable, within_bounds
from mcevae.images.readers.reading import Reading
from mcevae.images.readers.views import View

STACKS = (".mrcs", ".st", ".ali")
"""Endings of stacks, whatever the header says."""
MRC = (".mrc", ".map", *STACKS)
PACKED = {".gz": gzip.open, ".bz2": bz2.open}
HEADER = 1024
"""Bytes of the header."""
Order = Literal["<", ">"]
STAMPS: dict[bytes, Order] = {b"\x44\x44": "<", b"\x44\x41": "<", b"\x11\x11": ">"}
"""Byte orders by the first two bytes of the machine stamp."""
ORDERS: dict[Order, tuple[Order, ...]] = {"<": ("<", ">"), ">": (">", "<")}
"""Byte orders to try, by the one that is told."""
IMOD = 1146047817
"""Mark of files that IMOD wrote, at byte 152; the next number has a bit for signed bytes."""
OTHERS = {3: "complex 16-bit integers", 16: "colours of 8 bits", 101: "numbers of 4 bits"}
"""Modes that are not read."""


@dataclass(frozen=True, kw_only=True)
class Header:
    """What the header says of the data.

    Attributes:
        kind: number type.
        shape: (n, H, W), or (n, Z, H, W) of a stack of volumes.
        begin: byte at which the data begin.
        volume: whether the header says volume and not stack of images.
        odd: what is odd in the header, in words.
        pixel: side of a pixel in Angstrom; 0: not known.
    """

    kind: np.dtype
    shape: tuple[int, ...]
    begin: int
    volume: bool
    odd: str
    pixel: float = 0.0


def mrc(path: Path, reading: Reading) -> Iterator[Found]:
    """Sections of an MRC file or stack, which may be packed by gzip or bzip2."""
    need_mrcfile(path)
    endings = [ending.lower() for ending in path.suffixes]
    unpack = PACKED.get(endings[-1], open)
    with unpack(path, "rb") as file:
        size = None if endings[-1] in PACKED else path.stat().st_size
        header = header_of(file.read(HEADER), size)
        if header.odd:
            reading.note(f"{header.odd}; it is read all the same")
        file.read(header.begin - HEADER) if size is None else file.seek(header.begin)
        stack = not header.volume or endings[-2 if size is None else -1] in STACKS
        if reading.sections == "middle" or reading.sections == "sum":
            yield from of_volumes(sections(file, header), header, reading.sections)
            return
        if reading.sections == "auto" and not stack:
            tell_volume(header, reading)
        mapped = reading.views and size is not None
        yield from views(file, header) if mapped else sections(file, header)


def need_mrcfile(path: Path) -> None:
    """Refuse to go on without the library that knows the header.

    Raises:
        UserError: it is not installed.
    """
    try:
        import mrcfile  # noqa: F401
    except ImportError:
        raise UserError(
            f"{path}: MRC files need mrcfile; pip install 'mcevae[microscopy]'."
        ) from None


def header_of(content: bytes, size: int | None) -> Header:
    """Read a header in the byte order in which its sizes fit.

    Args:
        content: the first bytes of the file.
        size: bytes of the file; None: not known.

    Raises:
        Unreadable: it fits in neither.
    """
    from mrcfile.dtypes import HEADER_DTYPE

    if len(content) < HEADER:
        raise Unreadable("is too short for an MRC file")
    mark, stamp = content[208:212], content[212:216]
    told = STAMPS.get(stamp[:2])
    wrong = None
    for order in ORDERS[told or "<"]:
        fields: Any = np.frombuffer(content, HEADER_DTYPE.newbyteorder(order))[0]
        try:
            kind, shape, begin = layout(fields, order, size)
        except Unreadable as error:
            wrong = wrong or error
            continue
        odd = []
        if mark[:3] != b"MAP":
            odd.append("has no word MAP in its header")
        if told != order:
            words = {"<": "the lowest byte first", ">": "the highest byte first"}[order]
            odd.append(f"has the odd machine stamp {stamp.hex(' ')} (read with {words})")
        kind, said = signed(kind, content, order, fields)
        return Header(
            kind=kind,
            shape=shape,
            begin=begin,
            volume=int(fields["ispg"]) > 0 and math.prod(shape[:-2]) > 1,
            odd=" and ".join(odd + said),
            pixel=pixel_of(fields),
        )
    assert wrong is not None
    known = mark[:3] == b"MAP" or told is not None
    raise wrong if known else Unreadable("is not an MRC file, or a damaged one")


def layout(fields: Any, order: Order, size: int | None) -> tuple[np.dtype, tuple[int, ...], int]:
    """Number type, shape and begin of the data.

    Raises:
        Unreadable: they cannot be.
    """
    from mrcfile.utils import dtype_from_mode

    width, height, count = (int(fields[name]) for name in ("nx", "ny", "nz"))
    mode, extended, group = (int(fields[name]) for name in ("mode", "nsymbt", "ispg"))
    if mode in OTHERS:
        raise Unreadable(f"holds {OTHERS[mode]} (mode {mode}), which are not read; convert it")
    try:
        kind = np.dtype(dtype_from_mode(mode)).newbyteorder(order)
    except ValueError as error:
        raise Unreadable(f"has the mode {mode}, which no MRC file has") from error
    if min(width, height, count) < 1 or extended < 0:
        raise Unreadable(f"has no pixels: its header says {count} sections of {width} x {height}")
    within_bounds((width, height))
    if width * height * kind.itemsize > MOST_BYTES:
        raise Unreadable(f"has sections of more than {MOST_BYTES:,} bytes")
    begin, wanted = HEADER + extended, width * height * count * kind.itemsize
    if size is not None and begin + wanted > size:
        raise Unreadable(
            f"has {size:,} bytes, but its header says {count:,} sections of {width} x {height}, "
            f"which need {begin + wanted:,}; copy it again"
        )
    deep = int(fields["mz"])
    if 401 <= group <= 630 and deep > 0 and count % deep == 0:
        return kind, (count // deep, deep, height, width), begin
    return kind, (count, height, width), begin


def pixel_of(fields: Any) -> float:
    """Side of a pixel in Angstrom, 0 if the header does not say it."""
    cell, count = float(fields["cella"]["x"]), int(fields["mx"])
    return cell / count if count > 0 and 0 < cell < math.inf else 0.0


def signed(kind: np.dtype, content: bytes, order: Order, fields: Any) -> tuple[np.dtype, list[str]]:
    """The type of bytes, which older IMOD and others write without sign, and a remark on it."""
    if kind.itemsize > 1:
        return kind, []
    mark, flags = np.frombuffer(content, f"{order}i4", 2, offset=152).tolist()
    above = 127 < float(fields["dmax"]) <= 255 and float(fields["dmin"]) >= 0
    if (mark == IMOD and not flags & 1) or (mark != IMOD and above):
        return np.dtype(np.uint8), ["has bytes from 0 to 255, not -128 to 127"]
    return kind, []


def sections(file: Any, header: Header) -> Iterator[np.ndarray]:
    """Sections one after the other, of an open file that is at the begin of the data.

    Raises:
        Unreadable: the file ends before the last.
    """
    *count, height, width = header.shape
    length = height * width * header.kind.itemsize
    for number in range(math.prod(count)):
        content = file.read(length)
        if len(content) < length:
            raise Unreadable(f"ends within section {number} of {math.prod(count):,}")
        values = np.frombuffer(content, header.kind).reshape(height, width)
        yield values.astype(header.kind.newbyteorder("="), copy=False)


def views(file: Any, header: Header) -> Iterator[View]:
    """Sections of an open file that is not packed, of which windows are read."""
    *count, height, width = header.shape
    for number in range(math.prod(count)):
        read = partial(window_of, file, header, number)
        yield View(shape=(height, width), read=read)


def window_of(file: Any, header: Header, number: int, rows: slice, columns: slice) -> np.ndarray:
    """Rows and columns of a section.

    Raises:
        Unreadable: the file has become shorter.
    """
    height, width = header.shape[-2:]
    file.seek(header.begin + (number * height + rows.start) * width * header.kind.itemsize)
    content = file.read((rows.stop - rows.start) * width * header.kind.itemsize)
    if len(content) < (rows.stop - rows.start) * width * header.kind.itemsize:
        raise Unreadable("became shorter while it was read")
    band = np.frombuffer(content, header.kind).reshape(-1, width)
    return band[:, columns].astype(header.kind.newbyteorder("="))


def tell_volume(header: Header, reading: Reading) -> None:
    """Say that a volume is read as images."""
    reading.note(
        f"is a volume by its header, and each of its {math.prod(header.shape[:-2]):,} sections is "
        "read as an image (--sections each says so; middle or sum make one image of a volume)"
    )


def of_volumes(
    each: Iterator[np.ndarray], header: Header, how: Literal["middle", "sum"]
) -> Iterator[np.ndarray]:
    """One image for each volume: its middle section, or the sum of its sections."""
    deep = header.shape[-3]
    for _ in range(math.prod(header.shape[:-2]) // deep):
        kept = np.zeros(header.shape[-2:])
        for i, plane in enumerate(islice(each, deep)):
            if how == "sum":
                kept += plane
            elif i == deep // 2:
                kept = plane
        yield kept
