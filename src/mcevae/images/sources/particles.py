"""Particles of cryo-EM as a source: a STAR file, a .cs file, or a list such as 1@stack.mrcs."""

import math
import re
from collections.abc import Iterator
from pathlib import Path

from mcevae.base.config import DataConfig
from mcevae.base.errors import UserError
from mcevae.base.names import path_of
from mcevae.images.particles.classes import words_in_cs, words_in_star
from mcevae.images.particles.defocus import corrections_of
from mcevae.images.particles.named import Particles, named_in_cs, names_in_star
from mcevae.images.particles.stacks import Stacks
from mcevae.images.readers.frames import Fault, Frame, Unreadable
from mcevae.images.readers.mrc import MRC, need_mrcfile
from mcevae.images.sources.listing import LISTS, lines_of
from mcevae.images.sources.tabled import TabledSource

STAR, CS = ".star", ".cs"
LOOKED = 2**16
"""Bytes of a list that are looked at to know what it lists."""
LISTED = re.compile(rb"^\s*[\"']?\d+@\S", re.MULTILINE)


class ParticleSource(TabledSource):
    """Single images of MRC stacks, in the order of the table that names them."""

    def __init__(self, name: str, settings: DataConfig) -> None:
        """Read which images the table names.

        Raises:
            UserError: it cannot be read, or names no images.
        """
        super().__init__(name, settings)
        self.path = self.location
        need_mrcfile(self.path)
        self.particles = self.read()
        if not self.particles.stacks:
            raise UserError(f"{name}: names no image of a stack, such as 000001@stack.mrcs.")
        self.stacks = Stacks(self.particles.stacks, self.path.parent, self.reading)
        flip = settings.phase_flip
        self.corrections = corrections_of(self.path, self.reading) if flip else None

    def read(self) -> Particles:
        """The particles of the table.

        Raises:
            UserError: it cannot be read.
        """
        ending = self.path.suffix.lower()
        if ending == CS:
            return named_in_cs(self.path)
        if ending in MRC:
            return self.of_stack()
        return Particles.of(names_in_star(self.path) if ending == STAR else lines_of(self.path))

    def of_stack(self) -> Particles:
        """All sections of one stack, see `registry.open_particles`.

        Raises:
            UserError: it cannot be read, or its sections are not images.
        """
        try:
            header = Stacks([self.path.name], self.path.parent, self.reading).header(0)
        except Unreadable as error:
            raise UserError(f"{self.name}: {error}.") from error
        if self.reading.sections in ("middle", "sum"):
            raise UserError(
                f"{self.name}: has volumes, which a table of particles cannot name, since the run "
                f"reads them with --sections {self.reading.sections}; write .parquet or .csv."
            )
        count = math.prod(header.shape[:-2])
        return Particles.of(f"{number}@{self.path.name}" for number in range(1, count + 1))

    @classmethod
    def takes(cls, name: str) -> bool:
        """Whether it is a file that ends in .star or .cs, or a list of images of stacks."""
        path = path_of(name)
        ending = path.suffix.lower()
        if ending not in (STAR, CS, LISTS) or not path.is_file():
            return False
        if ending != LISTS:
            return True
        with path.open("rb") as file:
            return LISTED.search(file.read(LOOKED)) is not None

    def words(self, column: str) -> Iterator[tuple[int, str]]:
        """See `TabledSource.words`."""
        ending = self.path.suffix.lower()
        if ending == CS:
            return words_in_cs(self.path, column)
        if ending == STAR:
            return words_in_star(self.path, column)
        raise UserError(
            f"{self.name}: has no columns, so there is no --label-column {column}; give --labels."
        )

    def named_as(self, row: int) -> str:
        """See `TabledSource.named_as`."""
        return self.particles.name(row)

    def files(self) -> list[Path]:
        """See `Source.files`: the table and its stacks."""
        return [self.path, *self.stacks.paths]

    def total(self, part: str = "all") -> int:
        """See `Source.total`."""
        return len(self.particles)

    def frame(self, row: int) -> Frame | Fault:
        """See `TabledSource.frame`."""
        name, stack = self.particles.name(row), self.particles.stack[row]
        if stack < 0:
            return Fault(name, self.particles.damaged[row])
        try:
            image = self.stacks.section(stack, self.particles.section[row])
            if self.corrections:
                pixel = self.stacks.header(stack).pixel
                image = self.corrections.flip(row, image, pixel)
            return Frame(name, image)
        except Unreadable as error:
            return Fault(name, str(error))
        except (OSError, ValueError) as error:
            return Fault(name, f"cannot be read ({error})")
