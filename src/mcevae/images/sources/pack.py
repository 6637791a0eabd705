"""Packs as a source: images in one form, made by `mcevae pack`, that need not fit into memory."""

from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

from mcevae.base.channels import channel_names
from mcevae.base.errors import UserError
from mcevae.base.names import path_of
from mcevae.images.arrays import Images, ImageSet, require
from mcevae.images.packs import ABOUT, INDEX, PIXELS, Pack, open_pack
from mcevae.images.recipe import Recipe
from mcevae.images.sources.contract import Track
from mcevae.images.sources.rows import RowSource
from mcevae.images.splits import Place, Splits, split_pack


class PackSource(RowSource):
    """A pack on disk. Training reads one window of it at a time."""

    named: ClassVar[bool] = True

    @classmethod
    def takes(cls, name: str) -> bool:
        """Whether it is the folder of a pack."""
        return (path_of(name) / ABOUT).is_file()

    @cached_property
    def pack(self) -> Pack:
        """The pack, opened once.

        Raises:
            UserError: it is damaged.
        """
        return open_pack(self.location)

    @property
    def shape(self) -> tuple[int, int, int]:
        """See `RowSource.shape`."""
        return self.pack.shape

    @property
    def masked(self) -> bool:
        """See `RowSource.masked`."""
        return self.pack.recipe.get("mask") is not None

    def count(self, part: str = "all") -> int:
        """See `RowSource.count`. A pack has no parts of its own."""
        return self.pack.count

    def read(self, begin: int, end: int, part: str = "all") -> Images:
        """See `RowSource.read`."""
        return self.pack.rows(begin, end)

    def files(self) -> list[Path]:
        """See `Source.files`."""
        return [self.location / file for file in (INDEX, PIXELS)]

    def settled(self) -> dict[str, Any]:
        """The settings with which the images were read."""
        return self.pack.recipe

    def load(self, track: Track = iter, recipe: Recipe | None = None) -> ImageSet:
        """See `Source.load`."""
        if recipe is not None:
            self.check(recipe)
        return ImageSet(train=self.pack.rows(0, self.pack.count), faults=self.pack.faults)

    def check(self, recipe: Recipe) -> None:
        """Refuse a recipe that is not the one its images were made by.

        Raises:
            UserError: it is another.
        """
        # Older packs do not have all of these.
        older = {
            "flatten": "no",
            "isolate": "no",
            "white": None,
            "stretch": "linear",
            "invert": False,
        }
        older |= {"mask": None, "mask_bits": None}
        made = older | self.pack.recipe
        for name, value in recipe.settings().items():
            if name not in ("colour", "numbers", "seen") and made[name] != value:
                raise UserError(
                    f"{self.name}: was made with {name} {made[name]}, but the run "
                    f"reads images with {value}; pack them anew with --like RUN."
                )
        super().check(recipe)
        names = channel_names(self.pack.recipe.get("channels"), self.shape[0])
        if names != recipe.names:
            ours, theirs = (", ".join(each) or "of pictures" for each in (names, recipe.names))
            raise UserError(
                f"{self.name}: was made with channels {ours}, but the run takes those {theirs}; "
                "pack them anew with --like RUN."
            )

    def splits(
        self,
        place: Place,
        *,
        split: str = "standard",
        limit: int | None = None,
        track: Track = iter,
        recipe: Recipe | None = None,
    ) -> Splits:
        """See `Source.splits`."""
        if recipe is not None:
            self.check(recipe)
        require(
            self.settings.labels is None,
            f"{self.name}: a pack has the labels that it was made with; leave out --labels.",
        )
        require(
            self.settings.features is None,
            f"{self.name}: a pack has its images in random order, so rows of --features do not "
            "fit; train on the images that it was made from.",
        )
        require(
            self.settings.hints is None,
            f"{self.name}: a pack may not fit into memory, so it takes no --hints; train on the "
            "images that it was made from.",
        )
        require(
            split != "all",
            f"{self.name}: a pack keeps test images apart; leave out --split all.",
        )
        return split_pack(self.pack, place, limit, self.settings.window)
