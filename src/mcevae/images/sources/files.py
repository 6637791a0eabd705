"""Your own files as a source: a folder of images, a list of paths, or one image, stack or table."""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import ClassVar

from mcevae.base.config import DataConfig
from mcevae.base.names import as_text
from mcevae.images.arrays import MAX_SIDE, ImageSet
from mcevae.images.labels import labelled
from mcevae.images.readers.arrays import ARRAYS
from mcevae.images.readers.frames import Fault, Frame
from mcevae.images.readers.inside import parted
from mcevae.images.readers.pictures import PICTURES
from mcevae.images.readers.registry import ending_of, frames_of
from mcevae.images.recipe import Recipe
from mcevae.images.sources.contract import Position, Share, Track
from mcevae.images.sources.frames import FILE_BITS, SAMPLE, FrameSource, Numbered
from mcevae.images.sources.listing import LISTS, Listing, files_of
from mcevae.images.survey import SIDE


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
        self.path = self.location
        listing = self.listed()
        self.paths, self.passed = listing.paths, tuple(listing.passed)
        arrays = sum(ending_of(path) in ARRAYS for path in self.paths)
        self.reading = replace(self.reading, many=arrays > 1)
        self.largest = MAX_SIDE if self.path.suffix.lower() in ARRAYS else SIDE

    @classmethod
    def takes(cls, name: str) -> bool:
        """Takes every name that no other kind takes. `files_of` refuses wrong names."""
        return True

    def listed(self) -> Listing:
        """The files, and what is passed over.

        Raises:
            UserError: as `files_of`.
        """
        return files_of(self.path, links=self.settings.links)

    def called(self, path: Path) -> str:
        """The name of a file's images."""
        return name_of(path, self.path)

    def files(self) -> list[Path]:
        """See `Source.files`."""
        return [parted(path)[0] for path in self.paths]

    def sample(self) -> Iterable[Frame | Fault]:
        """See `Source.sample`: about `SAMPLE` frames."""
        chosen = self.paths[:: max(1, len(self.paths) // SAMPLE)]
        share = max(1, SAMPLE // len(chosen))
        for path in chosen:
            yield from islice(frames_of(path, self.called(path), self.reading), share)

    def numbered(
        self, begin: Position, share: Share | None, part: str, track: Track
    ) -> Iterator[Numbered]:
        """See `FrameSource.numbered`. Files have no training and test part."""
        skip = begin.frame
        for i, path in track(list(enumerate(self.paths))[begin.file :]):
            stack = ending_of(path) not in PICTURES
            if share is None or stack or share.has(i, 0):
                frames = enumerate(frames_of(path, self.called(path), self.reading))
                for j, frame in islice(frames, skip, None):
                    if share is None or not stack or share.has(i, j):
                        number = (i << FILE_BITS) + j
                        yield Numbered(frame, number, i, j + 1, i / len(self.paths))
            skip = 0

    def load(self, track: Track = iter, recipe: Recipe | None = None) -> ImageSet:
        """See `Source.load`."""
        images, faults = self.images(recipe or self.survey.recipe, track=track)
        total = len(images) + len(faults)
        train = labelled(images, self.path, self.settings, self.reading.notes, total)
        return ImageSet(train=train, faults=(*faults, *self.passed))


def name_of(path: Path, source: Path) -> str:
    """The name of a file, as text: its path below a folder, its path in a list, or its own name."""
    if source.is_dir() and source != path:
        name = path.relative_to(source).as_posix()
    elif source.suffix.lower() == LISTS:
        inside = path.is_relative_to(source.parent)
        name = (path.relative_to(source.parent) if inside else path).as_posix()
    else:
        file, inside = parted(path)
        name = f"{file.name}:{inside}" if inside else file.name
    return as_text(name)
