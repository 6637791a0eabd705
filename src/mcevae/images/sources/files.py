"""Your own files as a source: a folder of images, a list of paths, or one image, stack or table."""

import os
from collections.abc import Iterable, Iterator
from dataclasses import replace
from difflib import get_close_matches
from itertools import islice
from pathlib import Path
from typing import ClassVar

from mcevae.base.config import BUILT_IN, DataConfig
from mcevae.base.errors import UserError
from mcevae.base.files import read_text
from mcevae.images.arrays import MAX_SIDE, ImageSet
from mcevae.images.labels import labelled
from mcevae.images.readers.arrays import ARRAYS
from mcevae.images.readers.frames import Fault, Frame
from mcevae.images.readers.inside import parted
from mcevae.images.readers.pictures import PICTURES
from mcevae.images.readers.registry import READERS, ending_of, frames_of
from mcevae.images.readers.zarrs import ZARR
from mcevae.images.sources.contract import Position, Share, Track
from mcevae.images.sources.frames import FILE_BITS, SAMPLE, FrameSource, Numbered
from mcevae.images.survey import SIDE

LISTS = ".txt"
MOST_LIST = 2**28
"""Bytes of a list of files, at most."""


class FileSource(FrameSource):
    """Files that `readers` can read. The name of an image is its path below the source."""

    named: ClassVar[bool] = True
    packable: ClassVar[bool] = True
    counted: ClassVar[bool] = False

    def __init__(self, name: str, settings: DataConfig) -> None:
        """Find the files.

        Raises:
            UserError: as `files_of`.
        """
        super().__init__(name, settings)
        self.path = Path(name)
        self.paths = files_of(self.path)
        arrays = sum(ending_of(path) in ARRAYS for path in self.paths)
        self.reading = replace(self.reading, many=arrays > 1)
        self.largest = MAX_SIDE if self.path.suffix.lower() in ARRAYS else SIDE

    @classmethod
    def takes(cls, name: str) -> bool:
        """Takes every name that no other kind takes. `files_of` refuses wrong names."""
        return True

    def files(self) -> list[Path]:
        """See `Source.files`."""
        return [parted(path)[0] for path in self.paths]

    def sample(self) -> Iterable[Frame | Fault]:
        """See `Source.sample`: about `SAMPLE` frames."""
        chosen = self.paths[:: max(1, len(self.paths) // SAMPLE)]
        share = max(1, SAMPLE // len(chosen))
        for path in chosen:
            yield from islice(frames_of(path, name_of(path, self.path), self.reading), share)

    def numbered(
        self, begin: Position, share: Share | None, part: str, track: Track
    ) -> Iterator[Numbered]:
        """See `FrameSource.numbered`. Files have no training and test part."""
        skip = begin.frame
        for i, path in track(list(enumerate(self.paths))[begin.file :]):
            stack = ending_of(path) not in PICTURES
            if share is None or stack or share.has(i, 0):
                frames = enumerate(frames_of(path, name_of(path, self.path), self.reading))
                for j, frame in islice(frames, skip, None):
                    if share is None or not stack or share.has(i, j):
                        number = (i << FILE_BITS) + j
                        yield Numbered(frame, number, i, j + 1, i / len(self.paths))
            skip = 0

    def load(self, track: Track = iter) -> ImageSet:
        """See `Source.load`."""
        images, faults = self.images(self.survey.recipe, track=track)
        return ImageSet(
            train=labelled(images, self.path, self.settings.labels), faults=tuple(faults)
        )


def files_of(source: Path) -> list[Path]:
    """Image files that a source names, in the order of their names.

    Args:
        source: an image file, a folder (searched to its depths; hidden files, links to folders and
            files of other kinds are passed over), or a .txt with one path a line, relative to it.

    Raises:
        UserError: there is no such file or folder, or no image file in it.
    """
    if (
        os.path.isdir(source) and ending_of(source) != ZARR
    ):  # which says no to names that are too long to be any
        paths = list(files_below(source))
    elif not os.path.exists(parted(source)[0]):
        hints = get_close_matches(str(source).lower(), BUILT_IN, 1)
        hint = "".join(f" (did you mean {name}?)" for name in hints)
        raise UserError(
            f"{source}: there is no such file, folder or set{hint}; check the path, or use "
            f"{', '.join(BUILT_IN)}."
        )
    elif source.suffix.lower() == LISTS:
        paths = [source.parent / line for line in lines_of(source)]
    else:
        paths = [source]
    if not paths:
        raise UserError(f"{source}: holds no images; give files ending in {', '.join(READERS)}.")
    return paths


def lines_of(source: Path) -> list[str]:
    """The lines of a list that are not empty.

    Raises:
        UserError: it cannot be read.
    """
    try:
        lines = read_text(source, MOST_LIST, follow=True).splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{source}: is not a readable list of paths ({error}).") from error
    return [line.strip() for line in lines if line.strip()]


def files_below(folder: Path) -> Iterator[Path]:
    """Image files below a folder, in the order of their paths' parts.

    Raises:
        UserError: a folder cannot be looked into.
    """
    try:
        with os.scandir(folder) as scanned:
            entries = sorted(scanned, key=lambda entry: entry.name)
    except OSError as error:
        raise UserError(f"{folder}: cannot be listed ({error.strerror}).") from error
    for entry in entries:
        if entry.name.startswith("."):
            continue
        if ending_of(entry.name) == ZARR:
            yield folder / entry.name
        elif entry.is_dir(follow_symlinks=False):
            yield from files_below(folder / entry.name)
        elif ending_of(entry.name) in READERS and not entry.is_dir():
            yield folder / entry.name


def name_of(path: Path, source: Path) -> str:
    """The name of a file: its path below a folder, its path in a list, or its own name.

    Bytes of names that are no UTF-8 are written as \\xNN, since no table could hold them.
    """
    if source.is_dir() and source != path:
        name = path.relative_to(source).as_posix()
    elif source.suffix.lower() == LISTS:
        inside = path.is_relative_to(source.parent)
        name = (path.relative_to(source.parent) if inside else path).as_posix()
    else:
        file, inside = parted(path)
        name = f"{file.name}:{inside}" if inside else file.name
    return os.fsencode(name).decode("utf-8", "backslashreplace")
