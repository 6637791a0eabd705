"""Image sets that are known by name, such as mnist-mini."""

import os
from functools import cached_property
from pathlib import Path

import torch
from jaxtyping import UInt8
from torch import Tensor

from mcevae.images.arrays import Images, ImageSet
from mcevae.images.datasets import DATASETS
from mcevae.images.recipe import Recipe
from mcevae.images.sources.contract import Track
from mcevae.images.sources.rows import RowSource


class NamedSource(RowSource):
    """A set of `datasets`, in memory: training images, then test images."""

    @classmethod
    def takes(cls, name: str) -> bool:
        """Whether there is a set of this name."""
        return name in DATASETS

    @property
    def notes(self) -> list[str]:
        """See `Source.notes`."""
        if not Path(self.name).exists():
            return []
        return [
            f"{self.name} is the built-in set; for the folder or file of this name here, write "
            f".{os.sep}{self.name}."
        ]

    @cached_property
    def loaded(self) -> ImageSet:
        """The set, loaded once.

        Raises:
            UserError: it cannot be downloaded.
        """
        return DATASETS[self.name].loader()

    @cached_property
    def pixels(self) -> UInt8[Tensor, "n c h w"]:
        """All images, put together once."""
        sets = (self.loaded.train, self.loaded.test)
        return torch.cat([images.pixels for images in sets if images is not None])

    @property
    def shape(self) -> tuple[int, int, int]:
        """See `RowSource.shape`."""
        return self.loaded.train.shape

    def rows(self, part: str) -> range:
        """Rows of a part, among all images."""
        train, count = len(self.loaded.train), len(self.pixels)
        return {"all": range(count), "train": range(train), "test": range(train, count)}[part]

    def count(self, part: str = "all") -> int:
        """See `RowSource.count`."""
        return len(self.rows(part))

    def read(self, begin: int, end: int, part: str = "all") -> Images:
        """See `RowSource.read`."""
        rows = self.rows(part)[begin:end]
        return Images(name=self.name, pixels=self.pixels[rows.start : rows.stop])

    def load(self, track: Track = iter, recipe: Recipe | None = None) -> ImageSet:
        """See `Source.load`."""
        if recipe is not None:
            self.check(recipe)
        return self.loaded
