"""Labels of particles: a column of their STAR or .cs file."""

from collections.abc import Iterator
from pathlib import Path

from mcevae.base.errors import UserError
from mcevae.images.label_tables import plain
from mcevae.images.labels import words_of
from mcevae.images.particles.cs import Records
from mcevae.images.particles.named import particle_table
from mcevae.images.particles.star import rows_of, unquoted
from mcevae.images.readers.frames import Unreadable


def words_in_star(path: Path, column: str) -> Iterator[tuple[int, str]]:
    """The number of each particle of a STAR file and its label; damaged rows are passed over.

    Args:
        path: of the STAR file.
        column: such as _rlnClassNumber, with or without the line in front.

    Raises:
        UserError: there is no such column.
    """
    table = particle_table(path)
    place = table.column(f"_{column.lstrip('_')}")
    if place is None:
        raise no_column(path, column, [label.lstrip("_") for label in table.labels])
    first = 0
    for rows in rows_of(path, table):
        for number, row in enumerate(rows, first):
            if not isinstance(row, Unreadable):
                yield number, plain(unquoted(row[place]))
        first += len(rows)


def words_in_cs(path: Path, column: str) -> Iterator[tuple[int, str]]:
    """The number of each particle of a .cs file and its label.

    Args:
        path: of the .cs file.
        column: such as alignments2D/class.

    Raises:
        UserError: there is no such column.
    """
    records = Records.of(path)
    names = records.kind.names or ()
    if column not in names:
        raise no_column(path, column, names)
    first = 0
    for some in records:
        yield from enumerate(words_of(some[column]), first)
        first += len(some)


def no_column(path: Path, column: str, names: "list[str] | tuple[str, ...]") -> UserError:
    """The error for a column that is not there."""
    return UserError(
        f"{path}: has no column {column}; its columns are {', '.join(names)}: choose with "
        "--label-column."
    )
