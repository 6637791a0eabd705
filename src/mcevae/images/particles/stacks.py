"""The stacks that particles are in: where they are, and single sections from the disk."""

import math
import os
from pathlib import Path

import numpy as np

from mcevae.images.readers.frames import Unreadable, check_file
from mcevae.images.readers.mrc import HEADER, MRC, Header, header_of
from mcevae.images.readers.reading import Reading


class Stacks:
    """Stacks by their number. Headers are read once; of the data only what is asked for."""

    def __init__(self, names: list[str], folder: Path, reading: Reading) -> None:
        """Find the stacks.

        Args:
            names: as the table has them.
            folder: of the table.
            reading: gets remarks on odd headers.
        """
        self.paths = located(names, folder)
        self.reading = reading
        self.known: dict[int, Header | Unreadable] = {}

    def header(self, number: int) -> Header:
        """The header of a stack.

        Raises:
            Unreadable: it has none that can be used.
        """
        if number not in self.known:
            try:
                self.known[number] = self.read(self.paths[number])
            except Unreadable as error:
                self.known[number] = error
            except OSError as error:
                self.known[number] = Unreadable(f"is in a stack that cannot be read ({error})")
        found = self.known[number]
        if isinstance(found, Unreadable):
            raise Unreadable(str(found))
        return found

    def read(self, path: Path) -> Header:
        """Read a header.

        Raises:
            Unreadable: the stack cannot be used.
        """
        if path.suffix.lower() not in MRC:
            raise Unreadable(f"is in {path.name}; of particles, only MRC stacks are read, unpacked")
        try:
            check_file(path)
            with path.open("rb") as file:
                header = header_of(file.read(HEADER), path.stat().st_size)
        except Unreadable as error:
            raise Unreadable(f"is in the stack {path}, which {error}") from error
        if header.odd:
            self.reading.of(path.name).note(f"{header.odd}; it is read all the same")
        return header

    def section(self, number: int, section: int) -> np.ndarray:
        """One section (H, W) of a stack.

        Args:
            number: of the stack.
            section: from 0; below: the only one.

        Raises:
            Unreadable: it is not there.
        """
        header = self.header(number)
        *outer, height, width = header.shape
        count = math.prod(outer)
        if section < 0 and count > 1:
            raise Unreadable(f"names no image, and the stack has {count:,}; write 000001@ in front")
        if section >= count:
            raise Unreadable(f"is not there: the stack has {count:,} images")
        size = height * width
        begin = header.begin + max(section, 0) * size * header.kind.itemsize
        values = np.fromfile(self.paths[number], header.kind, size, offset=begin)
        if values.size < size:
            raise Unreadable("became shorter while it was read")
        return values.reshape(height, width).astype(header.kind.newbyteorder("="), copy=False)


def located(names: list[str], folder: Path) -> list[Path]:
    """Where files are that a table names: relative to its folder, or to a folder above it.

    RELION and cryoSPARC name them relative to their project, in which jobs are folders.

    Args:
        names: as the table has them.
        folder: of the table.
    """
    home = Path(os.path.abspath(folder))
    bases, found = [home, *home.parents], []
    for name in names:
        for base in bases:
            if os.path.exists(base / name):
                bases.remove(base)
                bases.insert(0, base)  # the others are likely to be there as well
                found.append(base / name)
                break
        else:
            found.append(home / name)
    return found
