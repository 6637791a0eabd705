"""Read tables of boxes: text with any separator, STAR files of coordinates, EMAN's .box files."""

from collections.abc import Iterator
from pathlib import Path

from mcevae.base.cutting import CuttingConfig
from mcevae.base.errors import UserError
from mcevae.images.crops.columns import Columns, Entry
from mcevae.images.label_tables import rows_of
from mcevae.images.particles.star import rows_of as star_rows
from mcevae.images.particles.star import tables_of, unquoted
from mcevae.images.readers.frames import Unreadable

TABLES = (".csv", ".tsv", ".txt", ".star", ".box")
"""Endings of tables that are read from a folder of them."""
COORDINATES = "_rlnCoordinateX"


def entries_of(
    path: Path, how: CuttingConfig, label: str | None = None
) -> Iterator[Entry | Unreadable]:
    """The boxes of a table, in the order of its rows; or why a row has none.

    Args:
        path: of the table.
        how: size of the boxes, and what x and y are.
        label: column of labels; None: they are not asked for.

    Raises:
        UserError: it is no table of boxes.
    """
    try:
        ending = path.suffix.lower()
        if ending == ".star":
            yield from of_star(path, how, label)
        elif ending == ".box":
            yield from of_eman(path, how, label)
        else:
            rows = rows_of(path, "boxes")
            if rows and len(rows[0]) == 1:  # parted by blanks
                rows = [" ".join(row).split() for row in rows]
            names, *rows = rows or [[]]
            columns = Columns.of(names, how.box_size, how.box_at, label)
            yield from (read(columns, row) for row in rows)
    except Unreadable as error:
        raise UserError(f"{path}: {error}.") from error


def read(columns: Columns, cells: list[str]) -> Entry | Unreadable:
    """The box of a row, or why it has none."""
    try:
        return columns.entry(cells)
    except Unreadable as error:
        return error


def of_star(path: Path, how: CuttingConfig, label: str | None) -> Iterator[Entry | Unreadable]:
    """Boxes around the coordinates of a STAR file.

    Raises:
        Unreadable: it has none, or nothing says how large boxes are.
        UserError: it cannot be read.
    """
    tables = tables_of(path)
    table = next((one for one in tables if COORDINATES in one.labels), None)
    if table is None:
        seen = ", ".join(f"data_{one.name}" for one in tables) or "none"
        raise Unreadable(f"has no table with {COORDINATES} (its tables: {seen})")
    columns = Columns.of(table.labels, how.box_size, how.box_at, label)
    for rows in star_rows(path, table):
        for row in rows:
            yield row if isinstance(row, Unreadable) else read(columns, list(map(unquoted, row)))


def of_eman(path: Path, how: CuttingConfig, label: str | None) -> Iterator[Entry | Unreadable]:
    """Boxes of a .box file of EMAN: x and y of the corner, width and height, parted by blanks.

    y counts from the first row of the file, as in MRC files.

    Raises:
        Unreadable: it is none.
    """
    columns = Columns.of(("x", "y", "width", "height"), how.box_size, how.box_at, label)
    for row in rows_of(path, "boxes"):
        yield read(columns, " ".join(row).split())
