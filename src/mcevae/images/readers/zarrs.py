"""Zarr and OME-Zarr folders: the largest level of every image, read chunk by chunk."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from mcevae.images.readers.frames import Found, Unreadable
from mcevae.images.readers.inside import meant, needed
from mcevae.images.readers.lazy import Lazy, images_in
from mcevae.images.readers.reading import Reading

ZARR = ".zarr"
MOST_MEMBERS = 100_000
"""Arrays and groups of a folder that are looked at."""


def zarr_folder(path: Path, reading: Reading) -> Iterator[Found]:
    """Images of a Zarr folder; of OME-Zarr those of full size, without labels.

    Arrays that are packed by pickles, which run code, zarr itself refuses unless they hold objects;
    those are no images.
    """
    zarr = needed("zarr", "a Zarr folder", "zarr")
    try:
        root = zarr.open(str(path), mode="r")
    except Exception as error:  # damaged folders raise many types
        raise Unreadable("is not a Zarr folder, or a damaged one") from error
    arrays, axes = arrays_of(root, zarr)
    known = {name: lazy(array) for name, array in arrays.items()}
    names = list(axes) if axes and reading.inside is None else meant(known, reading)
    for name in names:
        if name in axes and len(axes[name]) > 2 and reading.axes is None:
            reading.note(
                f"has axes {axes[name]} of {known[name].shape}: Y and X are an image, with C its "
                "channels, and all others number images; --axes tells it otherwise"
            )
        yield from images_in(known[name], reading, axes.get(name), pictured=name not in axes)


def arrays_of(root: Any, zarr: Any) -> tuple[dict[str, Any], dict[str, str]]:
    """All arrays by their paths, and letters of the axes of those that are OME-Zarr's images.

    Raises:
        Unreadable: there are too many.
    """
    if isinstance(root, zarr.Array):
        return {"/": root}, {}
    members = [("", root), *sorted(root.members(max_depth=None))[: MOST_MEMBERS + 1]]
    if len(members) > MOST_MEMBERS:
        raise Unreadable(f"has more than {MOST_MEMBERS:,} arrays; name a group of them")
    arrays = {f"/{name}": one for name, one in members if isinstance(one, zarr.Array)}
    axes: dict[str, str] = {}
    for name, one in members:
        if isinstance(one, zarr.Group) and "labels" not in name.split("/"):
            axes |= {
                place: letters
                for place, letters in images_told(name, dict(one.attrs))
                if place in arrays
            }
    return arrays, axes


def images_told(name: str, attributes: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """The path of the full size of each image that the attributes of a group name, and its axes.

    Raises:
        Unreadable: the attributes are not as OME-Zarr has them.
    """
    ome = attributes.get("ome", attributes)  # from version 0.5 on, and before
    for one in ome.get("multiscales", []) if isinstance(ome, dict) else []:
        try:
            letters = "".join(
                axis if isinstance(axis, str) else axis["name"] for axis in one.get("axes", "tczyx")
            )
            yield "/" + f"{name}/{one['datasets'][0]['path']}".strip("/"), letters.upper()
        except (KeyError, IndexError, TypeError, AttributeError) as error:
            raise Unreadable("has attributes that are not those of OME-Zarr") from error


def lazy(array: Any) -> Lazy:
    """An array as one that is not in memory."""
    return Lazy(
        shape=tuple(array.shape),
        kind=np.dtype(array.dtype),
        read=array.__getitem__,
        chunks=tuple(array.chunks),
    )
