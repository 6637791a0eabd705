"""Which image of which stack each particle is, as a STAR file, a .cs file or a list names it."""

import os
from array import array
from collections.abc import Iterable, Iterator, MutableSequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from mcevae.base.errors import UserError
from mcevae.images.particles.cs import Records, text_of
from mcevae.images.particles.star import Table, rows_of, tables_of, unquoted
from mcevae.images.readers.frames import PARTICLE, Unreadable

IMAGE = "_rlnImageName"
TOMOGRAM = "_rlnTomoName"
"""In tables of subtomogram averaging, as RELION 4 and 5 write them."""
MOST_NUMBER = 2**31 - 1
"""Numbers of images are kept as 32-bit integers."""
ONLY = -1
"""In place of the number of an image: it is the only one of its file."""


@dataclass(kw_only=True)
class Particles:
    """Particles in the order of their table; a million of them take some ten megabytes.

    Attributes:
        stacks: names of the stacks, as the table has them.
        stack: for each particle the place of its stack in `stacks`; -1: its row is damaged.
        section: number of its image in the stack, from 0; `ONLY`: there is no other.
        damaged: for each damaged row, what is wrong with it.
    """

    stacks: list[str] = field(default_factory=list)
    stack: MutableSequence[int] = field(default_factory=lambda: array("i"))
    section: MutableSequence[int] = field(default_factory=lambda: array("i"))
    damaged: dict[int, str] = field(default_factory=dict)

    def __len__(self) -> int:
        """How many there are."""
        return len(self.stack)

    def name(self, row: int) -> str:
        """What a particle is called: 000001@stack.mrcs, or the name of its file."""
        if self.stack[row] < 0:
            return f"row {row + 1}"
        file, number = self.stacks[self.stack[row]], self.section[row]
        if not file.isascii():  # no table could hold bytes that are no UTF-8
            file = os.fsencode(file).decode("utf-8", "backslashreplace")
        return file if number == ONLY else f"{number + 1:06}@{file}"

    @classmethod
    def of(cls, names: Iterable[str | Unreadable]) -> "Particles":
        """Particles by their names, such as 000001@stack.mrcs."""
        found, places = cls(), {}
        for row, name in enumerate(names):
            try:
                file, number = parsed(name)
            except Unreadable as error:
                found.damaged[row] = str(error)
                found.stack.append(-1)
                found.section.append(ONLY)
                continue
            place = places.setdefault(file, len(places))
            found.stack.append(place)
            found.section.append(number)
        found.stacks = list(places)
        return found


def parsed(name: str | Unreadable) -> tuple[str, int]:
    """The stack of a particle, and its number in it from 0 or `ONLY`.

    Raises:
        Unreadable: the name cannot be one.
    """
    if isinstance(name, Unreadable):
        raise name
    both = PARTICLE.fullmatch(name)
    if both is None:
        if not name or "\0" in name:
            raise Unreadable("names no image")
        return name, ONLY
    number, file = int(both[1]), both[2]
    if not 1 <= number <= MOST_NUMBER or "\0" in file:
        raise Unreadable(f"names image {number}; the first of a stack is 1")
    return file, number - 1


def particle_table(path: Path) -> Table:
    """The table of a STAR file that names images.

    Raises:
        UserError: there is none, or the file cannot be read.
    """
    tables = tables_of(path)
    for table in tables:
        if IMAGE in table.labels and TOMOGRAM not in table.labels:
            return table
    if any(TOMOGRAM in table.labels for table in tables):
        raise UserError(
            f"{path}: has particles of tomograms ({TOMOGRAM}), whose stacks hold the tilts of one "
            "particle; give a STAR file of single particles, or the stacks themselves."
        )
    seen = ", ".join(f"data_{table.name}" for table in tables) or "none"
    raise UserError(
        f"{path}: has no table with {IMAGE} (its tables: {seen}); give a STAR file of particles."
    )


def names_in_star(path: Path) -> Iterator[str | Unreadable]:
    """Names of the images of a STAR file.

    Raises:
        UserError: as for `particle_table`.
    """
    table = particle_table(path)
    place = table.labels.index(IMAGE)
    for rows in rows_of(path, table):
        for row in rows:
            yield row if isinstance(row, Unreadable) else unquoted(row[place])


def named_in_cs(path: Path) -> Particles:
    """Particles of a .cs file.

    Raises:
        UserError: it cannot be read.
    """
    found, places = Particles(), {}
    for some in Records.of(path):
        kept, which = np.unique(some["blob/path"], return_inverse=True)
        own = [places.setdefault(text_of(one), len(places)) for one in kept.tolist()]
        numbers = some["blob/idx"].astype(np.int64).clip(0, MOST_NUMBER)
        found.stack.extend(np.asarray(own)[which].tolist())
        found.section.extend(numbers.tolist())
    found.stacks = list(places)
    return found
