"""Which file of a source a cell of a table means."""

import os
from collections.abc import Sequence
from pathlib import Path

from mcevae.images.label_tables import paths_of, unended
from mcevae.images.readers.frames import Unreadable


class Names:
    """Files by their names: by whole paths below the source, or by the ends of them."""

    def __init__(self, names: Sequence[str]) -> None:
        """Take the names of the files, as tables of the source have them."""
        self.names = names
        self.known: dict[str, int | None] = {}
        """Places of the files by the ends of their paths; None: several have this end."""
        for place, name in enumerate(names):
            for form in dict.fromkeys((name, unended(name))):
                parts = form.split("/")
                for first in range(len(parts)):
                    end = "/".join(parts[first:])
                    self.known[end] = None if self.known.get(end, place) != place else place

    def place(self, cell: str) -> int:
        """The place of the file that a cell names: by its path, or the end of it, or a longer one.

        Raises:
            Unreadable: there is no such file, or there are several.
        """
        for path in paths_of(cell):
            for form in dict.fromkeys((path, unended(path), path.partition("#")[0])):
                parts = form.split("/")
                for first in range(len(parts)):
                    end = "/".join(parts[first:])
                    found = self.known.get(end, -1)
                    if found is None:
                        raise Unreadable(f"names {cell}, which several files of the source are")
                    if found >= 0:
                        return found
        raise Unreadable(f"names {cell}, which is no image of the source")

    def beside(self, table: Path) -> int | None:
        """The place of the file that a table belongs to by its name, such as mic1_picked.box."""
        stem = table.stem
        while stem:
            if (found := self.known.get(stem)) is not None:
                return found
            stem = stem.rpartition("_")[0]
        return None


def alone(names: Names) -> int | None:
    """The only file of a source; None if it has others."""
    return 0 if len(names.names) == 1 else None


def listed(folder: Path, endings: Sequence[str]) -> list[Path]:
    """Files of a folder with some endings, in the order of their names, but for hidden ones."""
    names = sorted(name for name in os.listdir(folder) if not name.startswith("."))
    return [folder / name for name in names if Path(name).suffix.lower() in endings]
