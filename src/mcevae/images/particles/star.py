"""STAR files of RELION, read a few rows at a time.

The library gemmi (extra `cryoem`) reads the values. `starfile` keeps the whole table in pandas: a
table of 100,000 rows and 24 columns took it 2.3 s and 370 MB, and 0.5 s and 43 MB in this way.
RELION itself takes each line for one row, and so does this module.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import BinaryIO

from mcevae.base.errors import UserError
from mcevae.images.readers.frames import Unreadable, check_file

ROWS = 2000
"""Rows that are in memory at once."""
LINE = 2**20
"""Bytes of a line, at most."""
ENCODING = ("utf-8", "surrogateescape")
"""So that names of any bytes are the same when they are written again."""
NOT_READ = (ValueError, RuntimeError, TypeError)
"""What gemmi raises; the last for bytes that are no UTF-8."""
Row = list[str] | Unreadable
"""Values of a row as they are written, with their quotes; or why it cannot be read."""


@dataclass(kw_only=True)
class Table:
    """A table (loop) of a STAR file.

    Attributes:
        name: of its block, without data_.
        labels: of its columns, such as _rlnImageName.
        start: byte at which its labels begin.
        begin: byte at which its rows begin; 0: it has no rows.
        end: byte after its rows.
    """

    name: str
    labels: list[str]
    start: int
    begin: int = 0
    end: int = 0

    def column(self, label: str) -> int | None:
        """The place of a column, None if there is no such one."""
        return self.labels.index(label) if label in self.labels else None


def unquoted(value: str) -> str:
    """A value without its quotes."""
    import gemmi

    try:
        return gemmi.cif.as_string(value)
    except TypeError:  # bytes that are no UTF-8, which are never in quotes, see `one_row`
        return value


def quoted(value: str) -> str:
    """A value in quotes, if it needs any."""
    import gemmi

    try:
        return gemmi.cif.quote(value)
    except TypeError:
        return value


def tables_of(path: Path) -> list[Table]:
    """Find the tables of a file, which is read once for it.

    Raises:
        UserError: gemmi is missing, or the file cannot be read.
    """
    try:
        import gemmi  # noqa: F401
    except ImportError:
        raise UserError(f"{path}: STAR files need gemmi; pip install 'mcevae[cryoem]'.") from None
    try:
        check_file(path)
        with path.open("rb") as file:
            return list(scanned(file))
    except (Unreadable, OSError) as error:
        raise UserError(f"{path}: {error}.") from error


def scanned(file: BinaryIO) -> Iterator[Table]:
    """The tables of an open file that have rows."""
    block, place, table = "", 0, None
    for line in iter(lambda: file.readline(LINE), b""):
        place += len(line)
        words = line.split(None, 3)
        if not words or words[0].startswith(b"#"):
            continue
        alone = len(words) == 1
        if alone and words[0].startswith((b"data_", b"loop_")):
            if table and table.begin:
                yield table
            if words[0].startswith(b"data_"):
                block, table = words[0][5:].decode(*ENCODING), None
            else:
                table = Table(name=block, labels=[], start=place)
        elif table and not table.begin and words[0].startswith(b"_"):
            table.labels.append(words[0].decode(*ENCODING))
        elif table and table.labels:
            table.begin = table.begin or place - len(line)
            table.end = place
    if table and table.begin:
        yield table


def rows_of(path: Path, table: Table) -> Iterator[list[Row]]:
    """The rows of a table, up to `ROWS` at once."""
    with path.open("rb") as file:
        file.seek(table.begin)
        lines = iter(lambda: file.readline(min(LINE, table.end - file.tell())), b"")
        kept = (line for line in lines if line.strip() and not line.lstrip().startswith(b"#"))
        while chunk := [line.decode(*ENCODING) for line in islice(kept, ROWS)]:
            yield values_of(chunk, len(table.labels))


def values_of(lines: list[str], width: int) -> list[Row]:
    """The values of a few rows. A row that cannot be read costs that row alone."""
    try:
        values = parsed("".join(lines), width)
    except NOT_READ:  # gemmi does not say which row is wrong
        return [one_row(line, width) for line in lines]
    if len(values) != width * len(lines):  # rows that are not one line each
        return [one_row(line, width) for line in lines]
    return [values[i : i + width] for i in range(0, len(values), width)]


def parsed(text: str, width: int) -> list[str]:
    """All values of rows of `width` values.

    Raises:
        ValueError: there are others.
    """
    import gemmi

    head = "data_x\nloop_\n" + "".join(f"_c{i}\n" for i in range(width))
    items = list(gemmi.cif.read_string(f"{head}{text}\n").sole_block())
    if len(items) != 1 or items[0].loop is None:
        raise ValueError("more than rows")
    return items[0].loop.values


def one_row(line: str, width: int) -> Row:
    """The values of a row, which may be words that mean something else in a STAR file."""
    values = line.split()
    if "'" in line or '"' in line:
        try:
            values = parsed(line, width)
        except NOT_READ:
            return Unreadable("has quotes that do not fit, or another number of values than labels")
    if len(values) != width:
        return Unreadable(f"has {len(values)} values for {width} labels")
    return values
