"""The frames of a source by their number: each is opened when it is looked at, few at a time."""

from collections import OrderedDict
from collections.abc import Callable, Generator
from dataclasses import dataclass
from pathlib import Path

from mcevae.base.config import DataConfig
from mcevae.base.names import path_of
from mcevae.finding.frames import Large, frames_of_files
from mcevae.images.readers.frames import Fault, Unreadable
from mcevae.images.readers.pictures import PICTURES, TIFFS
from mcevae.images.readers.reading import Reading
from mcevae.images.readers.registry import ending_of
from mcevae.images.sources.files import name_of
from mcevae.images.sources.listing import files_of

MOST_OPEN = 4
"""Files that are open at the same time."""
MOST_HELD = 2**29
"""Bytes of frames that are kept in memory, beside the one that is looked at."""
STILLS = {*PICTURES} - {*TIFFS}
"""Endings of files with one frame, unless animations are read."""
Began = Generator[Large | Fault, None, None]
"""The frames of an open file."""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A frame that can be looked at.

    Attributes:
        file: name of its file below the source.
        number: of the frame in its file, from 0.
        fault: why it cannot be read; None: nothing is wrong, as far as is known.
    """

    file: str
    number: int
    fault: str | None = None


class Opened:
    """A file of frames that is open. Frames that are not in memory are kept, and cost nothing."""

    def __init__(self, begin: Callable[[], Began]) -> None:
        self.begin = begin
        self.frames = begin()
        self.next = 0
        self.known: dict[int, Large | Fault] = {}

    def at(self, number: int) -> Large | Fault | None:
        """A frame by its number in the file; None: there is none."""
        if number in self.known:
            return self.known[number]
        if number < self.next:
            self.close()
            self.frames, self.next = self.begin(), 0
        for found in self.frames:
            place, self.next = self.next, self.next + 1
            if isinstance(found, Fault) or not found.view.held:
                self.known[place] = found
            if place == number:
                return found
        return None

    def close(self) -> None:
        """Close the file. Frames that were not in memory cannot be read any more."""
        self.known.clear()
        self.frames.close()


class Album:
    """The frames of a path, in the order in which `mcevae find` and `mcevae track` take them."""

    def __init__(
        self, source: str, settings: DataConfig, tell: Callable[[str], None] = lambda name: None
    ) -> None:
        """List the frames. Files that may hold several are opened once, to count them.

        Args:
            source: the path.
            settings: how its files are read.
            tell: called with the name of each file that is counted.

        Raises:
            UserError: there is no such path.
        """
        self.name, path = source, path_of(source)
        self.reading, self.path = Reading.by(settings), path
        self.paths = files_of(path, links=settings.links).paths
        self.entries: list[Entry] = []
        self._file: list[int] = []
        self._open: OrderedDict[int, Opened] = OrderedDict()
        self._kept: OrderedDict[int, Large] = OrderedDict()
        for i, one in enumerate(self.paths):
            tell(name_of(one, path))
            found = self._counted(one)
            self.entries += found
            self._file += [i] * len(found)

    def _counted(self, path: Path) -> list[Entry]:
        name = name_of(path, self.path)
        if ending_of(path) in STILLS and self.reading.animation == "first":
            return [Entry(file=name, number=0)]
        return [
            Entry(
                file=name,
                number=number,
                fault=found.reason if isinstance(found, Fault) else None,
            )
            for number, found in enumerate(self._begin(path))
        ]

    def _begin(self, path: Path) -> Began:
        yield from frames_of_files([path], self.path, self.reading)

    def __len__(self) -> int:
        """Count the frames."""
        return len(self.entries)

    def frame(self, index: int) -> Large:
        """A frame by its number in the album. It can be read until the next one is asked for.

        Raises:
            IndexError: there is no such frame.
            Unreadable: it cannot be read.
        """
        if not 0 <= index < len(self):
            raise IndexError(f"there is no frame {index}")
        if index in self._kept:
            self._kept.move_to_end(index)
            return self._kept[index]
        found = self._opened(self._file[index]).at(self.entries[index].number)
        if found is None:
            raise Unreadable("is not in its file any more; start the command again")
        if isinstance(found, Fault):
            raise Unreadable(found.reason)
        if found.view.held:
            self._kept[index] = found
            while len(self._kept) > 1 and self._held > MOST_HELD:
                self._kept.popitem(last=False)
        return found

    @property
    def _held(self) -> int:
        return sum(frame.view.held for frame in self._kept.values())

    def _opened(self, file: int) -> Opened:
        if file not in self._open:
            while len(self._open) >= MOST_OPEN:
                self._open.popitem(last=False)[1].close()
            self._open[file] = Opened(lambda: self._begin(self.paths[file]))
        self._open.move_to_end(file)
        return self._open[file]
