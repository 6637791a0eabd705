"""Where crops are: for each the image, and a box in it, in the order of the tables."""

from array import array
from collections.abc import MutableSequence
from dataclasses import dataclass, field
from pathlib import Path
from sys import intern

from mcevae.base.cutting import CuttingConfig
from mcevae.base.errors import UserError
from mcevae.base.names import as_text, path_of
from mcevae.images.crops.columns import Entry
from mcevae.images.crops.names import Names, alone, listed
from mcevae.images.crops.tables import TABLES, entries_of
from mcevae.images.readers.frames import PARTICLE, Unreadable


def integers() -> MutableSequence[int]:
    """A list of whole numbers that takes four bytes for each."""
    return array("i")


@dataclass(kw_only=True)
class Boxes:
    """Crops by their number; a million of them take some thirty megabytes.

    Attributes:
        tables: that name them, with the number of the first crop of each.
        image: for each crop the place of its image's file; -1: its row cannot be used.
        frame: number of the image in its file, from 0; -1: the file has one alone.
        x, y, width, height: of the box, in pixels, from the left and upper pixel of the image.
        label: number of the object in its label image; 0: there is none.
        words: labels, where they are asked for.
        wrong: why a row cannot be used.
    """

    tables: list[tuple[Path, int]] = field(default_factory=list)
    image: MutableSequence[int] = field(default_factory=integers)
    frame: MutableSequence[int] = field(default_factory=integers)
    x: MutableSequence[int] = field(default_factory=integers)
    y: MutableSequence[int] = field(default_factory=integers)
    width: MutableSequence[int] = field(default_factory=integers)
    height: MutableSequence[int] = field(default_factory=integers)
    label: MutableSequence[int] = field(default_factory=integers)
    words: dict[int, str] = field(default_factory=dict)
    wrong: dict[int, str] = field(default_factory=dict)

    def __len__(self) -> int:
        """How many there are."""
        return len(self.image)

    def add(self, image: int, frame: int, box: tuple[int, int, int, int], label: int = 0) -> None:
        """Add a crop."""
        numbers = (image, frame, *box, label)
        columns = (self.image, self.frame, self.x, self.y, self.width, self.height, self.label)
        for column, number in zip(columns, numbers, strict=True):
            column.append(number)

    def add_wrong(self, reason: str) -> None:
        """Add a row that cannot be used."""
        self.wrong[len(self)] = reason
        self.add(-1, -1, (0, 0, 0, 0))

    def box(self, number: int) -> tuple[int, int, int, int]:
        """x, y, width and height of a crop."""
        return self.x[number], self.y[number], self.width[number], self.height[number]

    def row(self, number: int) -> str:
        """The row of a table that names a crop: boxes.csv#12, counted from 0."""
        table, first = next(one for one in reversed(self.tables) if one[1] <= number)
        return as_text(f"{table.name}#{number - first}")


def boxes_of(names: list[str], how: CuttingConfig, label: str | None = None) -> Boxes:
    """The boxes that `how.boxes` names.

    Args:
        names: of the source's files.
        how: with the path of a table, or of a folder of tables.
        label: column of the labels; None: they are not asked for.

    Raises:
        UserError: there is no table of boxes, or it names no image of the source.
    """
    assert how.boxes is not None
    path, files, found = path_of(how.boxes), Names(names), Boxes()
    if not path.exists():
        raise UserError(f"{how.boxes}: there is no such table of boxes; check --boxes.")
    tables = listed(path, TABLES) if path.is_dir() else [path]
    for table in tables:
        own = files.beside(table) if path.is_dir() or table.suffix.lower() == ".box" else None
        found.tables.append((table, len(found)))
        for entry in entries_of(table, how, label):
            try:
                place, frame = image_of(entry, files, alone(files) if own is None else own)
            except Unreadable as error:
                found.add_wrong(str(error))
            else:
                assert isinstance(entry, Entry)
                if label is not None:
                    found.words[len(found)] = intern(entry.word)
                found.add(place, frame, entry.box)
    if len(found) == len(found.wrong):
        why = f"; {found.row(0)} {found.wrong[0]}" if found.wrong else ""
        raise UserError(f"{how.boxes}: names no crop of an image{why}.")
    return found


def image_of(entry: Entry | Unreadable, files: Names, own: int | None) -> tuple[int, int]:
    """The file of an entry and the number of the image in it, -1 if it is not said.

    Args:
        entry: row of a table.
        files: of the source.
        own: the file of a table that names none.

    Raises:
        Unreadable: there is no such file.
    """
    if isinstance(entry, Unreadable):
        raise entry
    name, frame = entry.file, entry.frame
    if not name:
        if own is None:
            raise Unreadable("names no image, and the source has several; add a column file")
        return own, frame
    if particle := PARTICLE.fullmatch(name):  # of a stack of micrographs
        return files.place(particle[2]), int(particle[1]) - 1
    file, _, number = name.rpartition("#")
    if file and number.isdecimal():
        return files.place(file), int(number)
    return files.place(name), frame
