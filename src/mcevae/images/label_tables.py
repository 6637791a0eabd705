"""Tables of labels as people have them: any names of columns, any separator, any form of paths."""

import csv
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path

from mcevae.base.errors import UserError
from mcevae.base.files import in_cell, read_bytes
from mcevae.base.names import as_setting, as_windows, decoded, path_of
from mcevae.images.readers.registry import ending_of

MOST_TABLE = 2**26
"""Bytes of a table, at most."""
SEPARATORS = ",;\t"
FIRST = 100
"""Rows from which the separator is found."""
LABEL_COLUMNS = ("label", "labels", "class", "category", "target", "kind", "type", "species", "y")
"""Names of columns that hold labels, the likeliest first."""
NO_LABEL = ("", "nan", "nat", "<na>")
"""How missing labels are written, in small letters."""


@dataclass(frozen=True, kw_only=True)
class Table:
    """Rows of text under the names of their columns.

    Attributes:
        path: of the file.
        columns: their names; "1", "2" and so on if the file has no line of names.
        rows: (n, columns) cells.
    """

    path: Path
    columns: list[str]
    rows: list[list[str]]

    def cells(self, column: int) -> list[str]:
        """The cells of a column; "" where a row is too short."""
        return [row[column] if column < len(row) else "" for row in self.rows]

    def column(self, name: str, setting: str) -> int:
        """The number of a column, by its name.

        Raises:
            UserError: there is no such column, or several.
        """
        exact = [i for i, column in enumerate(self.columns) if column == name]
        alike = [i for i, column in enumerate(self.columns) if column.lower() == name.lower()]
        found = exact or alike
        if len(found) != 1:
            raise UserError(
                f"{self.path}: has {'no' if not found else 'more than one'} column {name}; its "
                f"columns are {', '.join(self.columns)}: choose with {setting}."
            )
        return found[0]


@dataclass(kw_only=True)
class Labels:
    """Labels by the paths that a table has for its images.

    Attributes:
        path: of the table.
        columns: names of the columns that were taken, of files and of labels.
        whole: labels by whole paths.
        ends: labels by the ends of longer paths: of a/b/c.png, by b/c.png and c.png. None: files
            with other labels have the same end.
        shared: names that files in several folders have.
    """

    path: Path
    columns: tuple[str, str]
    whole: dict[str, str] = field(default_factory=dict)
    ends: dict[str, str | None] = field(default_factory=dict)
    shared: frozenset[str] = frozenset()

    def add(self, cell: str, label: str) -> None:
        """Add a row. A file with two labels has none."""
        for path in paths_of(cell):
            self.whole[path] = label if self.whole.get(path, label) == label else ""
            parts = path.split("/")
            for first in range(1, len(parts)):
                end = "/".join(parts[first:])
                self.ends[end] = label if self.ends.get(end, label) == label else None

    def __call__(self, name: str) -> str:
        """The label of an image; "" if it has none."""
        file = name.rpartition("#")[0] if "#" in name else name
        forms = tuple(dict.fromkeys((name, file, unended(file))))
        found = next((self.whole[form] for form in forms if form in self.whole), None)
        if found is None:
            found = next((self.ends[form] for form in forms if self.ends.get(form)), None)
        if found is None and (alone := file.rpartition("/")[2]) not in self.shared:
            bare = (alone, unended(alone))
            found = next((self.whole[form] for form in bare if form in self.whole), None)
        return found or ""


def read_labels(
    path: str, names: Iterable[str], *, label_column: str | None, file_column: str | None
) -> Labels:
    """Read a table of labels: UTF-8, UTF-16 or Windows text, with commas, semicolons or tabs.

    A cell and an image belong together if their paths are the same, with or without their endings,
    or if one is the end of the other. If several files share a name, their folders must fit, too.

    Args:
        path: of the table.
        names: of images, all or a sample of them.
        label_column, file_column: as in `FilesConfig`.

    Raises:
        UserError: the table cannot be read, or it is not clear which columns are meant.
    """
    names = list(names)
    files = {name.partition("#")[0] for name in names}
    counts = Counter(file.rpartition("/")[2] for file in files)
    shared = frozenset(name for name, count in counts.items() if count > 1)
    table = table_of(path_of(path), files)
    if file_column is not None:
        file = table.column(file_column, "--file-column")
    else:
        file = file_column_of(table, names, shared, label_column)
    label = label_column_of(table, file, label_column)
    made = Labels(path=table.path, columns=(table.columns[file], table.columns[label]))
    made.shared = shared
    for cell, word in zip(table.cells(file), table.cells(label), strict=True):
        made.add(cell, plain(word))
    return made


def file_column_of(
    table: Table, names: Sequence[str], shared: frozenset[str], label_column: str | None
) -> int:
    """The column that names the most images, but not one that is called as labels are.

    Args:
        table: with the files.
        names: of images.
        shared: names that files in several folders have.
        label_column: the column of the labels, if it was given.

    Raises:
        UserError: no column names an image.
    """
    others = (label_column.lower(),) if label_column else LABEL_COLUMNS
    hits: dict[int, int] = {}
    for column, called in enumerate(table.columns):
        if called.strip().lower() not in others:
            made = Labels(path=table.path, columns=("", ""), shared=shared)
            for cell in table.cells(column):
                made.add(cell, "named")
            hits[column] = sum(bool(made(name)) for name in names)
    if not any(hits.values()):
        raise UserError(
            f"{table.path}: no column has names of the images, such as {names[0]}; correct the "
            "names in it, or --labels."
        )
    return max(hits, key=lambda column: hits[column])


def label_column_of(table: Table, file: int, asked: str | None) -> int:
    """The column of the labels.

    Args:
        table: with the labels.
        file: number of the column of files.
        asked: its name, if it was given.

    Raises:
        UserError: it is not there, or it is not clear which it is.
    """
    if asked is not None:
        return table.column(asked, "--label-column")
    small = [column.strip().lower() for column in table.columns]
    for name in LABEL_COLUMNS:
        if name in small and small.index(name) != file:
            return small.index(name)
    others = [i for i in range(len(small)) if i != file]
    if len(others) != 1:
        raise UserError(
            f"{table.path}: it is not clear which column has the labels; choose one of "
            f"{', '.join(table.columns)} with --label-column."
        )
    return others[0]


def table_of(path: Path, files: Iterable[str]) -> Table:
    """Read a table of text.

    Args:
        path: of the table.
        files: names of images; if the first line has one of them, it is no line of names.

    Raises:
        UserError: it cannot be read, or has one column only.
    """
    rows = rows_of(path, "labels")
    if not rows or len(rows[0]) < 2:
        raise UserError(
            f"{path}: has no two columns, for files and labels; part them by a comma, a semicolon "
            "or a tab."
        )
    known = {form for file in files for form in (file, file.rpartition("/")[2])}
    titled = any(cell.strip().lower() in ("file", *LABEL_COLUMNS) for cell in rows[0])
    if not titled and any(known & set(paths_of(cell)) for cell in rows[0]):
        return Table(path=path, columns=[str(i + 1) for i in range(len(rows[0]))], rows=rows)
    return Table(path=path, columns=[plain(cell) for cell in rows[0]], rows=rows[1:])


def rows_of(path: Path, what: str) -> list[list[str]]:
    """The rows of a table of text that are not empty, as cells.

    Args:
        path: of the table.
        what: it is a table of, in words.

    Raises:
        UserError: it cannot be read.
    """
    try:
        text = decoded(read_bytes(path, MOST_TABLE, follow=True))
        separator, text = separated(text)
        return [row for row in csv.reader(StringIO(text, newline=""), delimiter=separator) if row]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{path}: cannot be read as a table of {what} ({error}).") from error


def separated(text: str) -> tuple[str, str]:
    """The separator of a table, and its text without the line sep=; that Excel may begin with.

    It is the one that parts the first rows into as many cells as the very first.
    """
    first, _, rest = text.partition("\n")
    if first.strip().lower() in (f"sep={one}" for one in SEPARATORS):
        return first.strip()[-1:] or "\t", rest
    lines = text.splitlines()[:FIRST]

    def fits(separator: str) -> tuple[float, int]:
        widths = [len(row) for row in csv.reader(lines, delimiter=separator) if row]
        if not widths or widths[0] < 2:
            return 0.0, 0
        return sum(width == widths[0] for width in widths) / len(widths), widths[0]

    return max(SEPARATORS, key=fits), text


def paths_of(cell: str) -> list[str]:
    """What a cell may mean as the path of an image, in the form that names of images have."""
    if cell.startswith("'") and in_cell(cell[1:]) == cell:  # as our own tables write it
        cell = cell[1:]
    bare = cell.strip()
    forms = (cell, bare, bare.replace("\\", "/").removeprefix("./").lstrip("/"))
    texts = [as_setting(form) for form in forms]
    if texts != list(forms):  # bytes that are no UTF-8: of the name, or of an old program's text
        texts += map(as_windows, forms)
    return list(dict.fromkeys(text for text in texts if text))


def plain(word: str) -> str:
    """A cell as a label or the name of a column: without blanks at its ends, and as UTF-8."""
    word = word.strip()
    try:
        word.encode()
    except UnicodeEncodeError:
        word = as_windows(word)
    return "" if word.lower() in NO_LABEL else word


def unended(file: str) -> str:
    """The name of a file without its ending."""
    return file[: -len(ending)] if (ending := ending_of(file)) and file != ending else file


def in_short(names: Sequence[str]) -> str:
    """The first of several names, and how many there are."""
    return names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1:,} others"
