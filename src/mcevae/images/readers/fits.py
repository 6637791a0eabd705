"""FITS files: the images of all extensions, and every plane of cubes, read from the disk."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mcevae.images.readers.frames import Found, Unreadable
from mcevae.images.readers.inside import needed
from mcevae.images.readers.lazy import Lazy, images_in
from mcevae.images.readers.reading import Reading

FITS = (".fits", ".fit", ".fts", ".fits.gz", ".fit.gz", ".fts.gz", ".fits.bz2", ".fz")
ASIDE = ("ERR", "DQ", "VAR", "IVAR", "WHT", "MASK", "CTX", "BPM", "SAMP", "TIME", "WEIGHT")
"""Names of extensions that say how good the pixels of another are."""
NO_PATH = "/"


def fits(path: Path, reading: Reading) -> Iterator[Found]:
    """Images of a FITS file: of all extensions, or of file.fits:/SCI, by its name or number."""
    library = needed("astropy.io.fits", "a FITS file", "astronomy")
    with path.open("rb") as file:  # astropy leaves damaged files that it opened itself open
        try:
            opened = library.open(file, lazy_load_hdus=True)
        except (OSError, ValueError) as error:
            raise Unreadable("is not a FITS file, or a damaged one") from error
        with opened as units:
            able = [(i, unit) for i, unit in enumerate(units) if is_image(unit)]
            for unit in chosen(able, reading):
                axes = {2: "HW", 3: "NHW"}.get(len(unit.shape))
                yield from images_in(lazy(unit), reading, axes)


def is_image(unit: Any) -> bool:
    """Whether a unit of a file is an image or a cube."""
    return bool(unit.is_image and len(unit.shape) > 1 and min(unit.shape[-2:]) > 1)


def chosen(able: list[tuple[int, Any]], reading: Reading) -> list[Any]:
    """The units that are read.

    Raises:
        Unreadable: there is none.
    """
    told = ", ".join(f"/{unit.name or i} {unit.shape}" for i, unit in able) or "none"
    if reading.inside not in (None, "/"):
        wanted = (reading.inside or "").strip("/").upper()
        found = [unit for i, unit in able if wanted in (str(i), unit.name.upper())]
        if not found:
            raise Unreadable(f"has no image at {reading.inside}; it has {told}")
        return found
    kept = [unit for _, unit in able if unit.name.upper() not in ASIDE]
    if not kept:
        raise Unreadable(f"has no image; its extensions are {told}")
    if left := sorted({unit.name for _, unit in able} - {unit.name for unit in kept}):
        reading.note(
            f"has extensions beside its images, left out: {', '.join(left)}; "
            f"{reading.file}:/{left[0]} reads one"
        )
    return kept


def lazy(unit: Any) -> Lazy:
    """A unit as an array that is not in memory; its numbers are scaled as its header says."""
    sample = unit.section[tuple(slice(0, 1) for _ in unit.shape)]
    return Lazy(shape=tuple(unit.shape), kind=sample.dtype, read=unit.section.__getitem__)
