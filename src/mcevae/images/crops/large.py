"""Large images, a few of which are open at once."""

import math
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from mcevae.base.errors import UserError
from mcevae.images.readers.frames import Channels, Found, Unreadable
from mcevae.images.readers.inside import parted
from mcevae.images.readers.reading import Reading
from mcevae.images.readers.registry import reader_of
from mcevae.images.readers.views import View

OPEN = 8
"""Files that are open at once, at most."""
HELD = 2**30
"""Bytes of images that are held in memory, because windows of them cannot be read, but for one."""


class OpenFile:
    """The images of a file in their order; the last one is kept."""

    def __init__(self, path: Path, name: str, reading: Reading) -> None:
        self.path, self.name = path, name
        self.file, inside = parted(path)
        self.reading = replace(reading.of(name), inside=inside, views=True)
        self.found: Iterator[Found] = iter(())
        self.at, self.image, self.single = -1, View.of(np.zeros((0, 0))), False
        self.bytes = 0

    def get(self, number: int) -> View:
        """An image of the file; below 0: the only one.

        Raises:
            Unreadable: it is not there, or there are others.
        """
        if number < 0 and not self.single:
            return self.only()
        wanted = max(number, 0)
        if self.at < 0 or wanted < self.at:
            self.close()
            self.found = reader_of(self.file)(self.file, self.reading)
        while self.at < wanted:
            self.step(wanted)
        return self.image

    def only(self) -> View:
        """The image of a file that has one alone.

        Raises:
            Unreadable: it has several, and nothing says which is meant.
        """
        image = self.get(0)
        with suppress(Exception):  # a damaged image is one, too
            self.single = next(self.found, None) is None
        if not self.single:
            self.close()
            raise Unreadable(
                f"is in {self.name}, which has several images; add a column frame, from 0, or name "
                f"one as {self.name}#0"
            )
        if self.bytes:  # in memory
            return image
        self.close()  # its reader has ended
        return self.get(0)

    def step(self, wanted: int) -> None:
        """Go on to the next image.

        Raises:
            Unreadable: there is none, or it cannot be read.
        """
        before = self.at + 1
        self.at = -1  # so that the file is opened anew if anything goes wrong
        try:
            found = next(self.found, None)
        except Unreadable as error:
            raise Unreadable(f"is in {self.name}, which {error}") from error
        except UserError:
            raise
        except Exception as error:  # damaged files raise whatever their decoders stumble over
            raise Unreadable(f"is in {self.name}, which cannot be read ({error})") from error
        if found is None:
            raise Unreadable(f"is in image {wanted} of {self.name}, which has {before:,} images")
        if isinstance(found, Unreadable) and before == wanted:
            raise Unreadable(f"is in {self.name}#{before}, which {found}")
        if isinstance(found, Unreadable):
            found = np.zeros((0, 0))
        if isinstance(found, Channels):
            named = {"pictured": False, "names": found.names}
            self.bytes, found = found.pixels.nbytes, replace(View.of(found.pixels), **named)
        elif isinstance(found, np.ndarray):
            self.bytes, found = found.nbytes, View.of(found)
        else:
            self.bytes = 0
        self.image = found
        self.at = before

    def close(self) -> None:
        """Close the file."""
        if close := getattr(self.found, "close", None):
            close()
        self.found, self.at, self.bytes = iter(()), -1, 0


class LargeImages:
    """Files of large images by their place. The last `OPEN` that were read stay open."""

    def __init__(self, paths: list[Path], name_of: Callable[[Path], str], reading: Reading) -> None:
        """Take the files.

        Args:
            paths: of the files.
            name_of: gives the name that errors and remarks call a file.
            reading: choices where files leave one.
        """
        self.paths, self.name_of, self.reading = paths, name_of, reading
        self.open: OrderedDict[int, OpenFile] = OrderedDict()

    def get(self, place: int, number: int) -> View:
        """An image of a file; number below 0: the only one.

        Raises:
            Unreadable: it cannot be read.
        """
        if place not in self.open:
            path = self.paths[place]
            self.open[place] = OpenFile(path, self.name_of(path), self.reading)
        self.open.move_to_end(place)
        image = self.open[place].get(number)
        while len(self.open) > OPEN or (
            len(self.open) > 1 and math.fsum(one.bytes for one in self.open.values()) > HELD
        ):
            self.open.popitem(last=False)[1].close()
        return replace(image, read=partial(self.read, place, image))

    def read(self, place: int, image: View, rows: slice, columns: slice) -> np.ndarray:
        """A window of an image of a file.

        Raises:
            Unreadable: it cannot be read.
        """
        try:
            return image.read(rows, columns)
        except UserError:
            raise
        except Unreadable as error:
            raise Unreadable(f"is in {self.name_of(self.paths[place])}, which {error}") from error
        except Exception as error:  # damaged files raise whatever their decoders stumble over
            name = self.name_of(self.paths[place])
            raise Unreadable(f"is in {name}, which cannot be read ({error!r})") from error
