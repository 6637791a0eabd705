"""Files of microscopes' makers (CZI, LIF, ND2) by bioio and its plugins, piece by piece."""

from collections.abc import Iterator
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from mcevae.images.readers.frames import Found, Unreadable
from mcevae.images.readers.lazy import Lazy, images_in
from mcevae.images.readers.reading import Reading

MICROSCOPES = {
    ".czi": "bioio bioio-czi (bioio-czi has the GNU General Public License)",
    ".lif": "'mcevae[microscopes]'",
    ".nd2": "'mcevae[microscopes]'",
}
"""What reads files of each ending."""


def microscope(path: Path, reading: Reading) -> Iterator[Found]:
    """Images of all scenes of a file: every time and plane, with the file's channels."""
    file = opened(path)
    for scene in file.scenes:
        file.set_scene(scene)
        data, axes, names = file.dask_data, file.dims.order, tuple(file.channel_names)
        if "S" in axes:  # colours of a camera: each channel is an image of its own
            axes, names = axes.replace("C", "N").replace("S", "C"), ()
        if reading.axes is None:
            reading.note(
                f"has axes {axes} of {tuple(data.shape)}: Y and X are an image, with C its "
                "channels, and all others number images; --axes tells it otherwise"
            )
        yield from images_in(
            lazy(data), reading, axes, pictured="S" in file.dims.order, names=names
        )


def opened(path: Path) -> Any:
    """Open a file.

    Raises:
        Unreadable: bioio or its plugin is missing, or the file is damaged.
    """
    ending = path.suffix.lower()
    missing = f"is a {ending[1:].upper()} file; pip install {MICROSCOPES[ending]} reads it"
    try:
        bioio = import_module("bioio")
        unknown = import_module("bioio_base.exceptions").UnsupportedFileFormatError
    except ImportError as error:
        raise Unreadable(missing) from error
    try:
        return bioio.BioImage(str(path.resolve()))
    except unknown as error:
        known = find_spec(f"bioio_{ending[1:]}") is not None
        raise Unreadable(
            f"is not a {ending[1:].upper()} file, or a damaged one" if known else missing
        ) from error


def lazy(data: Any) -> Lazy:
    """An array of dask as one that is not in memory."""
    return Lazy(
        shape=tuple(data.shape),
        kind=np.dtype(data.dtype),
        read=partial(computed, data),
        chunks=tuple(data.chunksize),
    )


def computed(data: Any, index: tuple[int | slice, ...]) -> np.ndarray:
    """A part of an array of dask, read by this thread alone."""
    return data[index].compute(scheduler="synchronous")
