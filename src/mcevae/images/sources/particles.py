"""Particles of cryo-EM as a source: a STAR file, a .cs file, or a list such as 1@stack.mrcs."""

import math
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import ClassVar

from mcevae.base.config import DataConfig
from mcevae.base.errors import UserError
from mcevae.base.names import path_of
from mcevae.images.arrays import MAX_SIDE, ImageSet
from mcevae.images.labels import labelled
from mcevae.images.particles.named import Particles, named_in_cs, names_in_star
from mcevae.images.particles.stacks import Stacks
from mcevae.images.readers.frames import Fault, Frame, Unreadable
from mcevae.images.readers.mrc import MRC, need_mrcfile
from mcevae.images.sources.contract import Position, Share, Track
from mcevae.images.sources.frames import SAMPLE, FrameSource, Numbered
from mcevae.images.sources.listing import LISTS, lines_of

STAR, CS = ".star", ".cs"
LOOKED = 2**16
"""Bytes of a list that are looked at to know what it lists."""
LISTED = re.compile(rb"^\s*[\"']?\d+@\S", re.MULTILINE)
TOLD = 500
"""Frames between two movements of a progress bar."""


class ParticleSource(FrameSource):
    """Single images of MRC stacks, in the order of the table that names them."""

    named: ClassVar[bool] = True
    packable: ClassVar[bool] = True
    largest = MAX_SIDE

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

    def files(self) -> list[Path]:
        """See `Source.files`: the table and its stacks."""
        return [self.path, *self.stacks.paths]

    def total(self, part: str = "all") -> int:
        """See `Source.total`."""
        return len(self.particles)

    def frame(self, row: int) -> Frame | Fault:
        """One particle, or why it cannot be used."""
        name, stack = self.particles.name(row), self.particles.stack[row]
        if stack < 0:
            return Fault(name, self.particles.damaged[row])
        try:
            return Frame(name, self.stacks.section(stack, self.particles.section[row]))
        except Unreadable as error:
            return Fault(name, str(error))
        except (OSError, ValueError) as error:
            return Fault(name, f"cannot be read ({error})")

    def sample(self) -> Iterable[Frame | Fault]:
        """See `Source.sample`: about `SAMPLE` particles."""
        count = len(self.particles)
        return (self.frame(row) for row in range(0, count, max(1, count // SAMPLE)))

    def numbered(
        self, begin: Position, share: Share | None, part: str, track: Track
    ) -> Iterator[Numbered]:
        """See `FrameSource.numbered`. A share is one stretch of the table."""
        count = len(self.particles)
        rows = share.rows(count) if share else range(count)
        for first in track(list(range(begin.frame, len(rows), TOLD))):
            for i, row in enumerate(rows[first : first + TOLD], first):
                yield Numbered(self.frame(row), row, 0, i + 1, i / len(rows))

    def load(self, track: Track = iter) -> ImageSet:
        """See `Source.load`."""
        images, faults = self.images(self.survey.recipe, track=track)
        total = len(images) + len(faults)
        train = labelled(images, self.path, self.settings, self.reading.notes, total)
        return ImageSet(train=train, faults=tuple(faults))
