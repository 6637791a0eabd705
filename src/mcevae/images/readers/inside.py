"""Arrays inside of files that hold several: which one is meant, and file.h5:/path that says it."""

import re
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from mcevae.images.readers.axes import guessed, squareness
from mcevae.images.readers.frames import Unreadable
from mcevae.images.readers.lazy import Lazy
from mcevae.images.readers.reading import Reading

HOLDERS = (".h5", ".hdf5", ".hdf", ".he5", ".nxs", ".mat", ".zarr", ".fits", ".fit", ".fts")
"""Endings of files in which a path can be given."""
PATH = re.compile(rf"(.+(?:{'|'.join(map(re.escape, HOLDERS))})):(/.*)", re.IGNORECASE)
NAMED = 8
"""Arrays that an error names."""


def parted(path: Path | str) -> tuple[Path, str | None]:
    """A file and a path inside of it: data.h5:/entry/images; None if only a file is named."""
    both = PATH.fullmatch(str(path))
    if both is None or Path(path).exists():
        return Path(path), None
    return Path(both[1]), both[2]


def needed(module: str, kind: str, extra: str) -> Any:
    """A library that reads a kind of file.

    Raises:
        Unreadable: it is not installed.
    """
    try:
        return import_module(module)
    except ImportError as error:
        raise Unreadable(f"is {kind}; pip install 'mcevae[{extra}]' reads it") from error


def like_images(array: Lazy) -> bool:
    """Whether an array has numbers, and a shape that suggests images."""
    if array.kind.kind not in "buif" or 0 in array.shape:
        return False
    if len(array.shape) == 2:
        return squareness(array.shape) > 0
    return bool(guessed(array.shape, False)[0])


def meant(arrays: dict[str, Lazy], reading: Reading) -> list[str]:
    """Names of the arrays that are read.

    Without a path, that is the only array that looks like images. Those of three and more axes
    count before others, which may be tables. A path names one array, or a group, of which all
    arrays that look like images are read.

    Args:
        arrays: by their paths.
        reading: with the path, if there is one.

    Raises:
        Unreadable: there is none, or it is not clear which.
    """
    if reading.inside is not None:
        path = reading.inside.rstrip("/")
        if path in arrays:
            return [path]
        below = [name for name in arrays if name.startswith(f"{path}/")]
        if able := [name for name in below if like_images(arrays[name])]:
            return able
        raise Unreadable(f"has no images at {reading.inside}; it has {listed(arrays, arrays)}")
    able = [name for name, array in arrays.items() if like_images(array)]
    deep = [name for name in able if len(arrays[name].shape) > 2] or able
    if len(deep) == 1:
        if len(arrays) > 1:
            reading.note(f"is read at {deep[0]}")
        return deep
    if deep:
        raise Unreadable(
            f"has several arrays that look like images: {listed(deep, arrays)}; say which, such as "
            f"{reading.file}:{deep[0]}"
        )
    raise Unreadable(f"has no array that looks like images; it has {listed(arrays, arrays)}")


def listed(names: Sequence[str] | dict[str, Lazy], arrays: dict[str, Lazy]) -> str:
    """Arrays with their shapes, for an error."""
    told = [f"{name} {arrays[name].shape}" for name in list(names)[:NAMED]]
    more = len(names) - len(told)
    return (", ".join(told) or "none") + (f" and {more:,} more" if more > 0 else "")
