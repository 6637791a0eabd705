"""Which reader reads which file, by the ending of its name.

A new format is a file of this folder and a line here.
"""

import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from mcevae.base.errors import UserError
from mcevae.images.readers.arrays import ARRAYS, numpy_array
from mcevae.images.readers.frames import Fault, Frame, Unreadable
from mcevae.images.readers.mrc import mrc
from mcevae.images.readers.pictures import PICTURES, picture
from mcevae.images.readers.tables import parquet_table

READERS: dict[str, Callable[[Path], Iterator[np.ndarray]]] = {
    **dict.fromkeys(PICTURES, picture),
    **dict.fromkeys(ARRAYS, numpy_array),
    ".parquet": parquet_table,
    ".mrc": mrc,
    ".mrcs": mrc,
}
"""What reads files of each ending."""


def frames_of(path: Path, name: str) -> Iterator[Frame | Fault]:
    """Frames of one file in order. A file that cannot be read further ends with a fault.

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
    """The reader of a file.

    Raises:
        Unreadable: the file is not there, is empty, or is of a kind that nothing here reads.
    """
    if path.suffix.lower() not in READERS:
        raise Unreadable(f"is not a known type of file; use {', '.join(READERS)}")
    try:
        state = path.stat()
    except (OSError, ValueError) as error:
        raise Unreadable("is not there") from error
    if not stat.S_ISREG(state.st_mode):  # a pipe say, which would be waited for
        raise Unreadable("is not a regular file")
    if state.st_size == 0:
        raise Unreadable("is empty")
    return READERS[path.suffix.lower()]
