"""Sources that tables name image by image: particles of stacks, and crops of large images."""

from abc import abstractmethod
from collections.abc import Iterable, Iterator
from typing import ClassVar

from mcevae.images.arrays import MAX_SIDE, ImageSet
from mcevae.images.labels import labelled
from mcevae.images.readers.frames import Fault, Frame
from mcevae.images.recipe import Recipe
from mcevae.images.sources.contract import Position, Share, Track
from mcevae.images.sources.frames import SAMPLE, FrameSource, Numbered

TOLD = 500
"""Frames between two movements of a progress bar."""


class TabledSource(FrameSource):
    """Single images in the order of the table that names them."""

    named: ClassVar[bool] = True
    packable: ClassVar[bool] = True
    largest = MAX_SIDE

    @abstractmethod
    def frame(self, row: int) -> Frame | Fault:
        """The image of a row of the table, from 0, or why it cannot be used."""

    @abstractmethod
    def total(self, part: str = "all") -> int:
        """See `Source.total`."""

    @abstractmethod
    def words(self, column: str) -> Iterator[tuple[int, str]]:
        """Numbers of images and their labels, of a column of the table that names them.

        Raises:
            UserError: there is no such column.
        """

    @abstractmethod
    def named_as(self, row: int) -> str:
        """The name of the image of a row."""

    def own_labels(self) -> dict[str, str] | None:
        """See `Source.own_labels`."""
        column = self.settings.label_column
        if self.settings.labels is not None or column is None:
            return None
        found: dict[str, str] = {}
        for row, word in self.words(column):
            name = self.named_as(row)
            found[name] = word if found.get(name, word) == word else ""
        return found

    def sample(self) -> Iterable[Frame | Fault]:
        """See `Source.sample`: about `SAMPLE` images."""
        count = self.total()
        return (self.frame(row) for row in range(0, count, max(1, count // SAMPLE)))

    def numbered(
        self, begin: Position, share: Share | None, part: str, track: Track
    ) -> Iterator[Numbered]:
        """See `FrameSource.numbered`. A share is one stretch of the table."""
        count = self.total()
        rows = share.rows(count) if share else range(count)
        for first in track(list(range(begin.frame, len(rows), TOLD))):
            for i, row in enumerate(rows[first : first + TOLD], first):
                yield Numbered(self.frame(row), row, 0, i + 1, i / len(rows))

    def load(self, track: Track = iter, recipe: Recipe | None = None) -> ImageSet:
        """See `Source.load`."""
        images, faults = self.images(recipe or self.survey.recipe, track=track)
        total = len(images) + len(faults)
        own = self.own_labels()
        train = labelled(images, self.location, self.settings, self.reading.notes, total, own)
        return ImageSet(train=train, faults=(*faults, *self.passed))
