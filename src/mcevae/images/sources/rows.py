"""Sources whose images already have one form and can be read from any row."""

from abc import abstractmethod
from collections.abc import Iterable, Iterator
from itertools import repeat

import numpy as np

from mcevae.base.channels import channel_names
from mcevae.base.errors import UserError
from mcevae.images.arrays import Images
from mcevae.images.readers.frames import Frame
from mcevae.images.recipe import Recipe
from mcevae.images.sources.contract import (
    START,
    Original,
    Part,
    Position,
    Share,
    Source,
    Track,
)


class RowSource(Source):
    """Images of one shape, by their number."""

    raw: bool = False

    @abstractmethod
    def count(self, part: str = "all") -> int:
        """How many images a part has: all, train or test."""

    def total(self, part: str = "all") -> int:
        """See `Source.total`."""
        return self.count(part)

    @property
    @abstractmethod
    def shape(self) -> tuple[int, int, int]:
        """(C, H, W) of every image."""

    @property
    def masked(self) -> bool:
        """Whether pixels that do not count are background already."""
        return False

    @abstractmethod
    def read(self, begin: int, end: int, part: str = "all") -> Images:
        """Images from row `begin` on, up to row `end`, of a part."""

    def check(self, recipe: Recipe) -> None:
        """Refuse a recipe that makes other images than there are; no row can be made anew.

        Raises:
            UserError: the shapes differ.
        """
        wanted = (recipe.channels, *recipe.shape)
        if self.shape != wanted:
            raise UserError(
                f"{self.name}: has images of (channels, height, width) {self.shape}, but "
                f"the run was trained on {wanted}; give images of that size."
            )

    def sample(self) -> Iterable[Frame]:
        """See `Source.sample`. All images have one shape, so one of them tells."""
        yield from self.frames(self.read(0, 1))

    def originals(self, recipe: Recipe, part: str = "all") -> Iterator[Original]:
        """See `Source.originals`. There is nothing finer than the images themselves."""
        done = 0.0
        for batch in self.parts(recipe, part=part):
            images = Images(
                name=self.name,
                pixels=batch.pixels,
                names=None if batch.names is None else np.asarray(batch.names),
            )
            for frame, image in zip(self.frames(images), batch.pixels, strict=True):
                yield Original(frame=frame, image=image, done=done)
            done = batch.done

    def frames(self, images: Images) -> Iterator[Frame]:
        """Images as frames."""
        names = repeat(self.name) if images.names is None else images.names.tolist()
        known = channel_names(self.settings.channels, self.shape[0])
        seen = np.ones(self.shape[1:], bool) if self.masked else None  # which it was already
        for name, image in zip(names, images.pixels.movedim(1, -1).numpy(), strict=False):
            yield Frame(name, image, known, seen)

    def parts(
        self,
        recipe: Recipe,
        *,
        part: str = "all",
        begin: Position = START,
        share: Share | None = None,
        track: Track = iter,
    ) -> Iterator[Part]:
        """See `Source.parts`."""
        self.check(recipe)
        count = self.count(part)
        rows = share.rows(count) if share else range(count)
        for start in range(begin.images, len(rows), self.part_size):
            chosen = rows[start : start + self.part_size]
            end = start + len(chosen)
            images = self.read(chosen.start, chosen.stop, part)
            yield Part(
                pixels=images.pixels,
                names=None if images.names is None else images.names.tolist(),
                end=Position(images=end),
                done=end / len(rows),
                ids=list(chosen),
                sizes=images.sizes,
            )
