"""What a STAR file says of how its particles were taken: in their rows, or in optics groups."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from mcevae.images.particles.named import particle_table
from mcevae.images.particles.star import rows_of, tables_of, unquoted
from mcevae.images.readers.frames import Unreadable

GROUP, PIXEL = "_rlnOpticsGroup", "_rlnImagePixelSize"
OLD = ("_rlnDetectorPixelSize", "_rlnMagnification")
"""Size of a pixel before RELION 3.1: micrometres, and how much the microscope enlarges."""


class StarOptics:
    """The values of particles of a STAR file, with those of their optics groups.

    Args:
        path: of the file.

    Raises:
        UserError: it cannot be read, or has no particles.
    """

    def __init__(self, path: Path) -> None:
        self.table = particle_table(path)
        self.groups: dict[str, dict[str, str]] = {}
        for table in tables_of(path):
            if GROUP in table.labels and table.begin != self.table.begin:
                place = table.labels.index(GROUP)
                rows = [row for some in rows_of(path, table) for row in some]
                self.groups |= {
                    unquoted(row[place]): dict(zip(table.labels, row, strict=True))
                    for row in rows
                    if not isinstance(row, Unreadable)
                }

    def values(self, row: Sequence[str]) -> dict[str, str]:
        """All that is said of a particle, by labels.

        Args:
            row: of the particles' table.
        """
        own = dict(zip(self.table.labels, row, strict=False))
        return own | self.groups.get(unquoted(own[GROUP]), {}) if GROUP in own else own


def pixel_of(values: Mapping[str, str]) -> float:
    """How many Angstrom a pixel of a particle has; 0: nothing says it."""
    if found := positive(values.get(PIXEL, "")):
        return found
    detector, magnification = (positive(values.get(label, "")) for label in OLD)
    return 1e4 * detector / magnification if magnification else 0.0


def positive(value: str) -> float:
    """A number above zero, or 0 if it is none."""
    try:
        found = float(unquoted(value))
    except ValueError:
        return 0.0
    return found if 0 < found < float("inf") else 0.0
