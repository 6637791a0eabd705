"""Which reader reads which file, by the ending of its name.

A new format is a file of this folder and a line here.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from mcevae.base.errors import UserError
from mcevae.images.readers.arrays import ARRAYS, numpy_array
from mcevae.images.readers.channels import framed, held
from mcevae.images.readers.dicom import DICOMS, dicom
from mcevae.images.readers.fits import FITS, fits
from mcevae.images.readers.frames import Fault, Found, Frame, Unreadable, check_file
from mcevae.images.readers.hdf5 import HDF5S, hdf5
from mcevae.images.readers.inside import parted
from mcevae.images.readers.mat import mat
from mcevae.images.readers.microscopes import MICROSCOPES, microscope
from mcevae.images.readers.mrc import MRC, PACKED, mrc
from mcevae.images.readers.pictures import PICTURES, picture
from mcevae.images.readers.reading import Reading
from mcevae.images.readers.tables import parquet_table
from mcevae.images.readers.views import View
from mcevae.images.readers.zarrs import ZARR, zarr_folder

Reader = Callable[[Path, Reading], Iterator[Found]]
READERS: dict[str, Reader] = {
    **dict.fromkeys(PICTURES, picture),
    **dict.fromkeys(ARRAYS, numpy_array),
    ".parquet": parquet_table,
    **dict.fromkeys(MRC, mrc),
    **{f"{ending}{packed}": mrc for ending in MRC for packed in PACKED},
    **dict.fromkeys(HDF5S, hdf5),
    ".mat": mat,
    **dict.fromkeys(FITS, fits),
    **dict.fromkeys(DICOMS, dicom),
    ZARR: zarr_folder,
    **dict.fromkeys(MICROSCOPES, microscope),
}
"""What reads files of each ending."""


def ending_of(path: Path | str) -> str:
    """The ending of a file's name in small letters, which says how it is read: .mrc, .mrc.gz."""
    endings = [ending.lower() for ending in parted(path)[0].suffixes[-2:]]
    return "".join(endings if endings[-1:] and endings[-1] in PACKED else endings[-1:])


def frames_of(path: Path, name: str, reading: Reading | None = None) -> Iterator[Frame | Fault]:
    """Frames of one file in order. A file that cannot be read further ends with a fault.

    Args:
        path: of the file, with a path inside of it where it has several arrays: data.h5:/images.
        name: what frames are called.
        reading: choices where files leave one; None: the usual ones.
    """
    file, inside = parted(path)
    reading = replace((reading or Reading()).of(name), inside=inside)
    count, last, fault = 0, None, None
    try:
        for found in reader_of(file)(file, reading):
            if last is not None:
                yield told(f"{name}#{count}", last, reading)
                count += 1
            last = found  # one behind, to know whether there are several
        if last is None:
            raise Unreadable("holds no images")
    except UserError:
        raise
    except Unreadable as error:
        fault = Fault(name, str(error))
    except Exception as error:  # damaged files raise whatever their decoders stumble over
        fault = Fault(name, f"cannot be read ({type(error).__name__}: {error})")
    if last is not None:
        yield told(f"{name}#{count}" if count or fault else name, last, reading)
    if fault is not None:
        yield fault


def told(name: str, found: Found, reading: Reading) -> Frame | Fault:
    """What a reader found for one image, under its name, with the channels that are wanted."""
    if isinstance(found, Unreadable):
        return Fault(name, str(found))
    try:
        if isinstance(found, View):
            found = held(found.whole(), pictured=found.pictured, names=found.names)
        return framed(name, found, reading)
    except Unreadable as error:
        return Fault(name, str(error))


def reader_of(path: Path) -> Reader:
    """The reader of a file.

    Raises:
        Unreadable: the file is not there, is empty, or is of a kind that nothing here reads.
    """
    if (ending := ending_of(path)) not in READERS:
        raise Unreadable(f"is not a known type of file; use {', '.join(READERS)}")
    if ending != ZARR or not path.is_dir():
        check_file(path)
    return READERS[ending]
