"""Packs: more images than memory holds, brought to one form by `mcevae pack`."""

from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

from mcevae.base.errors import UserError
from mcevae.images.arrays import ImageSet, require
from mcevae.images.packs import ABOUT, INDEX, PIXELS, Pack, is_pack, open_pack
from mcevae.images.recipe import Recipe
from mcevae.images.sources.contract import Part, Position, Share, Source, Track, parts_of_rows
from mcevae.images.sources.rows import check_shape
from mcevae.images.splits import Place, Splits, split_pack


class PackSource(Source):
    """A pack on disk; training sees a window of it at a time."""

    named: ClassVar[bool] = True
    one_form: ClassVar[bool] = True

    @classmethod
    def takes(cls, name: str) -> bool:
        """Whether it is the folder of a pack."""
        return is_pack(Path(name))

    @cached_property
    def pack(self) -> Pack:
        """The pack, opened once.

        Raises:
            UserError: it is damaged.
        """
        return open_pack(Path(self.name))

    def files(self) -> list[Path]:
        """See `Source.files`."""
        return [Path(self.name) / name for name in (INDEX, ABOUT, PIXELS)]

    def settled(self) -> dict[str, Any]:
        """The settings that its images were read by."""
        return self.pack.recipe

    def load(self, track: Track = iter) -> ImageSet:
        """See `Source.load`."""
        return ImageSet(train=self.pack.rows(0, self.pack.count), faults=self.pack.faults)

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
        self.check_recipe(recipe)
        check_shape(self.name, self.pack.shape, recipe)
        yield from parts_of_rows(self.pack.rows, self.pack.count, begin, share)

    def check_recipe(self, recipe: Recipe) -> None:
        """Refuse a recipe that is not the one its images were made by.

        Raises:
            UserError: it is another.
        """
        for name in ("normalise", "levels", "background", "fit"):
            value = getattr(recipe, name)
            if self.pack.recipe[name] != value:
                raise UserError(
                    f"{self.name}: was made with {name} {self.pack.recipe[name]}, but the run "
                    f"reads images with {value}; pack them anew with --like RUN."
                )

    def splits(
        self,
        place: Place,
        *,
        split: str = "standard",
        limit: int | None = None,
        track: Track = iter,
    ) -> Splits:
        """See `Source.splits`."""
        require(
            self.settings.labels is None,
            f"{self.name}: a pack has the labels that it was made with; leave out --labels.",
        )
        return split_pack(self.pack, place, limit, self.settings.window)
