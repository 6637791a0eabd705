"""MATLAB's .mat files: SciPy reads those up to version 7, h5py those of version 7.3."""

import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from scipy import io

from mcevae.images.readers.arrays import MOST_EXPANDED, of_stack
from mcevae.images.readers.frames import Found, Unreadable
from mcevae.images.readers.hdf5 import check_real, datasets_of, lazy, opened
from mcevae.images.readers.inside import meant
from mcevae.images.readers.lazy import Lazy, images_in
from mcevae.images.readers.reading import Reading

NUMBERS = (
    "double",
    "single",
    "logical",
    *(f"{s}int{b}" for s in ("", "u") for b in (8, 16, 32, 64)),
)
"""What MATLAB calls kinds of numbers."""
VERSION = slice(124, 126)
"""Where the header has the version."""


def mat(path: Path, reading: Reading) -> Iterator[Found]:
    """Images of a variable of a .mat file."""
    with path.open("rb") as file:
        header = file.read(128)
    if header[VERSION] in (b"\0\2", b"\2\0"):
        yield from of_version_73(path, reading)
        return
    try:
        told = io.whosmat(str(path))
    except Exception as error:  # damaged files raise many types
        raise Unreadable("is not a readable .mat file") from error
    arrays = {
        f"/{name}": Lazy(shape=tuple(shape), kind=np.dtype(float), read=np.asarray)
        for name, shape, kind in told
        if kind in NUMBERS
    }
    for name in meant(arrays, reading):
        claimed = 8 * math.prod(arrays[name].shape)
        if claimed > MOST_EXPANDED and claimed > 200 * path.stat().st_size:
            raise Unreadable(f"claims {claimed:,} bytes for {name}, as no images have")
        try:
            array = io.loadmat(str(path), variable_names=[name[1:]])[name[1:]]
        except Exception as error:  # as above
            raise Unreadable(f"has a damaged variable {name}") from error
        yield from of_stack(array, reading)


def of_version_73(path: Path, reading: Reading) -> Iterator[Found]:
    """Images of a file that is HDF5, in which MATLAB writes axes in the reverse order."""
    with opened(path) as file:
        datasets = {name: one for name, one in datasets_of(file).items() if "#" not in name}
        arrays = {name: reversed_axes(lazy(one)) for name, one in datasets.items()}
        for name in meant(arrays, reading):
            check_real(datasets[name])
            yield from images_in(arrays[name], reading)


def reversed_axes(array: Lazy) -> Lazy:
    """The same array with its axes as MATLAB has them."""
    return Lazy(
        shape=array.shape[::-1],
        kind=array.kind,
        read=lambda index: np.asarray(array.read(index[::-1])).T,
        chunks=None if array.chunks is None else array.chunks[::-1],
    )
