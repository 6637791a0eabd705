"""Particle tables of cryoSPARC (.cs): NumPy arrays of records, read a few records at a time."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mcevae.base.errors import UserError
from mcevae.images.readers.arrays import check_header
from mcevae.images.readers.frames import Unreadable, check_file

RECORDS = 2000
"""Records that are in memory at once."""


@dataclass(frozen=True, kw_only=True)
class Records:
    """Where the records of a file are.

    Attributes:
        path: of the file.
        kind: type of a record.
        count: how many there are.
        begin: byte of the first.
    """

    path: Path
    kind: np.dtype
    count: int
    begin: int

    @classmethod
    def of(cls, path: Path) -> "Records":
        """Read the header of a file.

        Raises:
            UserError: it is no table of particles.
        """
        try:
            check_file(path)
            with path.open("rb") as file:
                shape, kind = check_header(file, path.stat().st_size)
                begin = file.tell()
        except Unreadable as error:
            raise UserError(f"{path}: {error}.") from error
        except Exception as error:  # damaged headers raise many types
            raise UserError(f"{path}: is not a readable .cs file.") from error
        if len(shape) != 1 or not {"blob/path", "blob/idx"} <= set(kind.names or ()):
            raise UserError(
                f"{path}: has no columns blob/path and blob/idx; give the .cs file of a job whose "
                "output has images, such as J12/extracted_particles.cs."
            )
        return cls(path=path, kind=kind, count=shape[0], begin=begin)

    def __iter__(self) -> Iterator[np.ndarray]:
        """The records in order, up to `RECORDS` at once.

        Raises:
            UserError: the file ends before the last.
        """
        for first in range(0, self.count, RECORDS):
            count = min(RECORDS, self.count - first)
            place = self.begin + first * self.kind.itemsize
            some = np.fromfile(self.path, self.kind, count, offset=place)
            if len(some) < count:
                raise UserError(f"{self.path}: ends within its records; copy it again.")
            yield some


def text_of(value: bytes | str) -> str:
    """A path of a record; cryoSPARC marks some by a > in front."""
    text = value.decode("utf-8", "surrogateescape") if isinstance(value, bytes) else str(value)
    return text.removeprefix(">")
