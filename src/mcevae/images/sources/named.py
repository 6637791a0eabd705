"""Image sets that are known by name, such as mnist-mini."""

from collections.abc import Iterator
from functools import cached_property
from typing import ClassVar

from mcevae.images.arrays import Images, ImageSet, pixels_of
from mcevae.images.datasets import DATASETS
from mcevae.images.recipe import Recipe
from mcevae.images.sources.contract import Part, Position, Share, Source, Track, parts_of_rows
from mcevae.images.sources.rows import check_shape


class NamedSource(Source):
    """A set of `datasets`, in memory."""

    one_form: ClassVar[bool] = True

    @classmethod
    def takes(cls, name: str) -> bool:
        """Whether there is a set of this name."""
        return name in DATASETS

    @cached_property
    def images(self) -> ImageSet:
        """The set, loaded once.

        Raises:
            UserError: it cannot be downloaded.
        """
        return DATASETS[self.name].loader()

    def load(self, track: Track = iter) -> ImageSet:
        """See `Source.load`."""
        return self.images

    def parts(
        self,
        recipe: Recipe,
        *,
        part: str = "all",
        begin: Position = Position(),  # noqa: B008  it is frozen
        share: Share | None = None,
        track: Track = iter,
    ) -> Iterator[Part]:
        """See `Source.parts`."""
        pixels = pixels_of(self.images, part)
        check_shape(self.name, pixels.shape[1:], recipe)

        def rows(start: int, stop: int) -> Images:
            return Images(name=self.name, pixels=pixels[start:stop])

        yield from parts_of_rows(rows, len(pixels), begin, share)
