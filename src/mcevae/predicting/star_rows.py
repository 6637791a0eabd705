"""Rows of a STAR file with other values in some columns, and how large the pixels are."""

import shutil
from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import BinaryIO

from mcevae.base.errors import UserError
from mcevae.images.particles.named import particle_table
from mcevae.images.particles.optics import GROUP, PIXEL, StarOptics, pixel_of
from mcevae.images.particles.star import ENCODING, quoted, rows_of
from mcevae.images.readers.frames import Unreadable
from mcevae.images.sources.particles import STAR, ParticleSource

ALWAYS = (
    "_rlnClassNumber",
    "_rlnAnglePsi",
    "_rlnOriginXAngst",
    "_rlnOriginYAngst",
    "_rlnMaxValueProbDistribution",
)
"""Columns that every written table has."""
PIXELS = ("_rlnOriginX", "_rlnOriginY")
"""Columns of RELION 3.0 and before, which tables without optics groups get, too."""
Values = list[str]


class StarRows:
    """The rows of a source's STAR file; of a list, rows of a new one."""

    def __init__(self, source: ParticleSource) -> None:
        """Find the table.

        Raises:
            UserError: it cannot be read.
        """
        self.source = source
        self.table = particle_table(source.path) if is_star(source) else None
        self.labels = self.table.labels if self.table else ["_rlnImageName", GROUP]
        modern = self.table is None or GROUP in self.labels
        wanted = ALWAYS if modern else (*ALWAYS, *PIXELS)
        self.added = [label for label in wanted if label not in self.labels]

    def __iter__(self) -> Iterator[Values]:
        """The values of each row; a damaged row, which no image has, is empty."""
        if self.table is None:
            yield from self.made()
            return
        for rows in rows_of(self.source.path, self.table):
            yield from ([] if isinstance(row, Unreadable) else row for row in rows)

    def made(self) -> Iterator[Values]:
        """Rows of a list: the image's name with its full path, and its optics group."""
        particles, paths = self.source.particles, self.source.stacks.paths
        for stack, section in zip(particles.stack, particles.section, strict=True):
            if stack < 0:
                yield []
                continue
            number = f"{section + 1:06}@" if section >= 0 else ""
            group = self.groups.get(stack, 0)
            yield [quoted(f"{number}{paths[stack]}"), str(group)]

    @cached_property
    def groups(self) -> dict[int, int]:
        """The optics group of each stack that can be read, by the size of pixels and images."""
        numbers: dict[tuple[float, int], int] = {}
        found = {}
        for stack in range(len(self.source.stacks.paths)):
            try:
                header = self.source.stacks.header(stack)
            except Unreadable:
                continue
            found[stack] = numbers.setdefault((header.pixel, header.shape[-1]), len(numbers) + 1)
        self.optics = {number: size for size, number in numbers.items()}
        return found

    def write_head(self, file: BinaryIO) -> None:
        """Write all that stands before the rows: other tables as they are, then the labels."""
        if self.table is None:
            file.write(self.made_head().encode())
        else:
            with self.source.path.open("rb") as old:
                file.write(old.read(self.table.start))
        labels = [*self.labels, *self.added]
        text = "".join(f"{label} #{i}\n" for i, label in enumerate(labels, 1))
        file.write(text.encode(*ENCODING))

    def made_head(self) -> str:
        """The optics groups of a new file."""
        assert self.groups is not None
        names = ("OpticsGroupName", "OpticsGroup", "ImagePixelSize", "ImageSize")
        labels = [f"_rln{name} #{i}" for i, name in enumerate(names, 1)]
        labels.append("_rlnImageDimensionality #5")
        rows = [
            f"opticsGroup{number} {number} {pixel:.6f} {size} 2"
            for number, (pixel, size) in self.optics.items()
        ]
        optics = "\n".join(["data_optics", "", "loop_", *labels, *rows])
        return f"# version 30001\n\n{optics}\n\n\n# version 30001\n\ndata_particles\n\nloop_\n"

    def line(self, values: Values, new: Mapping[str, str]) -> bytes:
        """A row with new values in the columns that hold them."""
        kept = [new.get(label, old) for label, old in zip(self.labels, values, strict=True)]
        return (" ".join([*kept, *(new[label] for label in self.added)]) + "\n").encode(*ENCODING)

    def write_tail(self, file: BinaryIO) -> None:
        """Write what follows the rows, as it is."""
        if self.table is not None:
            with self.source.path.open("rb") as old:
                old.seek(self.table.end)
                shutil.copyfileobj(old, file)


class PixelSizes:
    """How many Angstrom a pixel of each particle has: by its optics group, its row, or its stack.

    Args:
        source: of the particles.

    Raises:
        UserError: the table cannot be read.
    """

    def __init__(self, source: ParticleSource) -> None:
        self.source = source
        self.optics = StarOptics(source.path) if is_star(source) else None

    def of(self, row: int, values: Values) -> float:
        """The size for a particle, Angstrom.

        Args:
            row: of the particle.
            values: of the row.

        Raises:
            UserError: nothing says it.
        """
        found = pixel_of(self.optics.values(values)) if self.optics else 0.0
        found = found or self.source.stacks.header(self.source.particles.stack[row]).pixel
        if not found:
            raise UserError(
                f"{self.source.name}: does not say how many Angstrom a pixel has, which origins "
                f"need; add {PIXEL} to its optics groups."
            )
        return found

    def check(self) -> None:
        """Refuse a source whose first particles have no size.

        Raises:
            UserError: as for `of`.
        """
        for row, values in enumerate(StarRows(self.source)):
            stack = self.source.particles.stack[row]
            if values and stack >= 0:
                try:
                    self.source.stacks.header(stack)
                except Unreadable:
                    continue
                self.of(row, values)
                return


def is_star(source: ParticleSource) -> bool:
    """Whether a source is a STAR file."""
    return source.path.suffix.lower() == STAR
