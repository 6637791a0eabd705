"""HDF5 files: the dataset that looks like images, or file.h5:/path, read chunk by chunk."""

from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from mcevae.images.readers.arrays import MOST_EXPANDED, MOST_EXPANSION
from mcevae.images.readers.frames import Found, Unreadable
from mcevae.images.readers.inside import meant, needed
from mcevae.images.readers.lazy import Lazy, images_in
from mcevae.images.readers.reading import Reading

HDF5S = (".h5", ".hdf5", ".hdf", ".he5", ".nxs")
MOST_DATASETS = 100_000
"""Datasets of a file that are looked at."""


def hdf5(path: Path, reading: Reading) -> Iterator[Found]:
    """Images of datasets of an HDF5 file."""
    with opened(path) as file:
        datasets = datasets_of(file)
        arrays = {name: lazy(dataset) for name, dataset in datasets.items()}
        if all(dataset.dtype.kind not in "buifc" for dataset in datasets.values()) and datasets:
            name, dataset = next(iter(datasets.items()))
            raise Unreadable(
                f"holds {dataset.dtype} values at {name}, which are not intensities; store images "
                "as a dataset of numbers"
            )
        for name in meant(arrays, reading):
            check_real(datasets[name])
            yield from images_in(arrays[name], reading)


def opened(path: Path) -> Any:
    """Open a file.

    Raises:
        Unreadable: it is none, or h5py is missing.
    """
    h5py = needed("h5py", "an HDF5 file", "hdf5")
    with suppress(ImportError):
        import_module("hdf5plugin")  # adds filters, where it is installed
    try:
        return h5py.File(path, "r")
    except OSError as error:
        raise Unreadable("is not an HDF5 file, or a damaged one") from error


def datasets_of(file: Any) -> dict[str, Any]:
    """All datasets of numbers or records by their paths, ordered by name; links are not followed.

    Raises:
        Unreadable: there are too many.
    """
    h5py = needed("h5py", "an HDF5 file", "hdf5")
    found: dict[str, Any] = {}

    def look(name: str, item: Any) -> bool | None:
        if isinstance(item, h5py.Dataset) and item.shape and item.dtype.kind in "buifcV":
            found[f"/{name}"] = item
        return True if len(found) > MOST_DATASETS else None

    if file.visititems(look):
        raise Unreadable(f"has more than {MOST_DATASETS:,} datasets; name a group of them")
    return found


def lazy(dataset: Any) -> Lazy:
    """A dataset as an array that is not in memory."""
    return Lazy(
        shape=tuple(dataset.shape),
        kind=dataset.dtype,
        read=partial(part_of, dataset),
        chunks=dataset.chunks,
    )


def part_of(dataset: Any, index: tuple[int | slice, ...]) -> np.ndarray:
    """A part of a dataset.

    Raises:
        Unreadable: it is damaged, or packed in a way that is not known here.
    """
    try:
        return dataset[index]
    except OSError as error:
        raise Unreadable(
            f"has data of {dataset.name} that are damaged, or packed by a filter that is missing; "
            "if so, pip install hdf5plugin"
        ) from error


def check_real(dataset: Any) -> None:
    """Refuse a dataset that claims far more than the file holds of it.

    Raises:
        Unreadable: it does, or its data lie in another file that it names.
    """
    if dataset.external:
        raise Unreadable(f"keeps {dataset.name} in other files; convert it to one file")
    if dataset.is_virtual:
        return
    held = dataset.id.get_storage_size()
    if dataset.nbytes > max(MOST_EXPANDED, MOST_EXPANSION * held) or held == 0:
        raise Unreadable(f"has {held:,} bytes of {dataset.name}, which claims {dataset.nbytes:,}")
