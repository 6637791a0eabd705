"""Arrays in files that are read piece by piece, such as those of HDF5, Zarr and FITS."""

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from mcevae.images.readers.axes import axes_of, checked
from mcevae.images.readers.channels import held
from mcevae.images.readers.frames import MOST_BYTES, Found, Unreadable, within_bounds
from mcevae.images.readers.reading import Reading
from mcevae.images.readers.views import View

AT_ONCE = 2**25
"""Bytes that are read at once, if one image is not larger."""


@dataclass(frozen=True, kw_only=True)
class Lazy:
    """An array that is not in memory.

    Attributes:
        shape: as of a NumPy array.
        kind: its number type.
        read: gives the part at an index of integers and slices.
        chunks: shape of the pieces that are packed together; None: it is not packed.
    """

    shape: tuple[int, ...]
    kind: np.dtype
    read: Callable[[tuple[int | slice, ...]], Any]
    chunks: tuple[int, ...] | None = None


def images_in(
    array: Lazy,
    reading: Reading,
    axes: str | None = None,
    *,
    pictured: bool = True,
    names: Sequence[str] = (),
) -> Iterator[Found]:
    """Images of an array, (H, W) or (H, W, C); only a few of them are in memory.

    Args:
        array: of any number of axes.
        reading: which axes are taken.
        axes: letters of the axes, if the file says them; None: its shape suggests them.
        pictured: whether four channels are colours and opacity.
        names: of the channels, if the file says them.

    Raises:
        Unreadable: it holds no images, or too large ones.
    """
    if array.kind.kind not in "buif":
        raise Unreadable(f"holds {array.kind} values, which are not intensities")
    if axes is None or reading.axes is not None:
        axes = axes_of(array.shape, reading)
    else:
        axes = checked(axes, array.shape)
    if any(axes.count(axis) != 1 for axis in "HW") or axes.count("C") > 1:
        raise Unreadable(f"has axes {axes}; one of them must be H, one W, and at most one C")
    if 0 in array.shape:
        raise Unreadable(f"has shape {array.shape}, which holds no pixels")
    sizes = dict(zip(axes, array.shape, strict=True))
    if reading.views:
        yield from views_in(array, axes, pictured, tuple(names))
        return
    within_bounds((sizes["W"], sizes["H"]))
    order = [axis for axis in axes if axis in "HWC"]
    turn = [order.index(axis) for axis in "HWC" if axis in order]
    for piece in pieces(array, axes):
        image = np.asarray(piece).transpose(turn)
        image = image.astype(image.dtype.newbyteorder("="), copy=False)
        yield held(image, pictured=pictured, names=names)


def views_in(array: Lazy, axes: str, pictured: bool, names: tuple[str, ...]) -> Iterator[View]:
    """Images of an array, of which windows are read.

    Args:
        array: of any number of axes.
        axes: their letters.
        pictured: whether four channels are colours and opacity.
        names: of the channels, if the file says them.

    Raises:
        Unreadable: what is packed together would fill the memory.
    """
    packed = math.prod(array.chunks or ()) * array.kind.itemsize
    if packed > MOST_BYTES:
        raise Unreadable(f"has pieces of {packed:,} bytes, more than {MOST_BYTES:,}")
    inner = [axis for axis in axes if axis in "HWC"]
    turn = [inner.index(axis) for axis in "HWC" if axis in inner]
    outer = [i for i, axis in enumerate(axes) if axis not in "HWC"]

    def window(place: tuple[int, ...], rows: slice, columns: slice) -> np.ndarray:
        own: dict[str, slice] = {"H": rows, "W": columns}
        numbers = iter(place)
        index = [own.get(axis, slice(None)) if axis in "HWC" else next(numbers) for axis in axes]
        image = np.asarray(array.read(tuple(index))).transpose(turn)
        return image.astype(image.dtype.newbyteorder("="), copy=False)

    shape = tuple(array.shape[axes.index(axis)] for axis in "HWC" if axis in axes)
    for place in itertools.product(*(range(array.shape[i]) for i in outer)):
        yield View(shape=shape, read=partial(window, place), pictured=pictured, names=names)


def pieces(array: Lazy, axes: str) -> Iterator[np.ndarray]:
    """The images of an array, their axes in the order of the array.

    Of an array that is packed, as many images are unpacked at once as lie together.

    Raises:
        Unreadable: an image, or what is packed together, would fill the memory.
    """
    outer = [i for i, axis in enumerate(axes) if axis not in "HWC"]
    size = math.prod(n for i, n in enumerate(array.shape) if i not in outer) * array.kind.itemsize
    packed = math.prod(array.chunks or ()) * array.kind.itemsize
    if max(size, packed) > MOST_BYTES:
        raise Unreadable(f"has images of {max(size, packed):,} bytes, more than {MOST_BYTES:,}")
    index: list[int | slice] = [slice(None)] * len(axes)
    if not outer:
        yield array.read(tuple(index))
        return
    *first, last = outer
    together = array.chunks[last] if array.chunks else 1
    step = max(1, min(together, AT_ONCE // size))
    for place in itertools.product(*(range(array.shape[i]) for i in first)):
        for i, number in zip(first, place, strict=True):
            index[i] = number
        for begin in range(0, array.shape[last], step):
            index[last] = slice(begin, min(begin + step, array.shape[last]))
            block = np.asarray(array.read(tuple(index)))
            yield from np.moveaxis(
                block, sum(i < last for i in range(len(axes)) if i not in first), 0
            )
