"""A .npz with training and test images of its own: x_train, x_test, and labels y_train, y_test."""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from zipfile import ZipFile, is_zipfile

import numpy as np

from mcevae.base.errors import UserError
from mcevae.base.names import path_of
from mcevae.images.arrays import ImageSet
from mcevae.images.labels import kinds_of, with_words, words_in
from mcevae.images.readers.arrays import from_archive, of_stack
from mcevae.images.readers.channels import framed
from mcevae.images.readers.frames import Frame, Unreadable
from mcevae.images.recipe import Recipe
from mcevae.images.sources.contract import Track
from mcevae.images.sources.stacks import StackSource

PARTS = ("train", "test")


class ArchiveSource(StackSource):
    """The arrays of a .npz; its images are read as frames, like those of any other file."""

    @classmethod
    def takes(cls, name: str) -> bool:
        """Whether it is a .npz with an array x_train."""
        path = path_of(name)
        if path.suffix.lower() != ".npz" or not is_zipfile(path):
            return False
        try:
            with ZipFile(path) as archive:
                return "x_train.npy" in archive.namelist()
        except Exception:  # a damaged archive: the readers say what is wrong with it
            return False

    def files(self) -> list[Path]:
        """See `Source.files`."""
        return [self.location]

    def array(self, name: str) -> np.ndarray | None:
        """An array by its name; None if there is no such one.

        Raises:
            UserError: it cannot be read.
        """
        try:
            return from_archive(self.location, name)
        except Unreadable as error:
            raise UserError(f"{self.name}: its array {name} {error}.") from error

    @cached_property
    def stacks(self) -> dict[str, list[Frame]]:
        """Frames of each part.

        Raises:
            UserError: there are none, or they are no images.
        """
        return {part: self.stack(f"x_{part}") for part in PARTS}

    def stack(self, name: str) -> list[Frame]:
        """Frames of an array.

        Raises:
            UserError: it is not there, or does not hold images.
        """
        array = self.array(name)
        if array is None:
            raise UserError(f"{self.name}: has no array {name}; add it.")
        if array.ndim < 3:
            raise UserError(
                f"{self.name}: its array {name} has shape {array.shape}; use (n, H, W) or "
                "(n, H, W, C)."
            )
        reading = self.reading.of(f"{self.name}: {name}")
        try:
            each = enumerate(of_stack(array, reading))
            return [framed(f"{name}#{i}", found, reading) for i, found in each]
        except Unreadable as error:
            raise UserError(f"{self.name}: its array {name} {error}.") from error

    def frames(self, part: str = "all") -> Sequence[Frame]:
        """See `StackSource.frames`."""
        return [frame for own in PARTS if part in ("all", own) for frame in self.stacks[own]]

    def load(self, track: Track = iter, recipe: Recipe | None = None) -> ImageSet:
        """See `Source.load`."""
        how = recipe or self.survey.recipe
        read = [self.images(how, part, track) for part in PARTS]
        faults = [fault for _, wrong in read for fault in wrong]
        words = [
            words_in(self.location, f"y_{part}", images, self.total(part), self.reading.notes)
            for part, (images, _) in zip(PARTS, read, strict=True)
        ]
        names = kinds_of(word for own in words for word in own or ())
        train, test = (
            images if own is None else with_words(images, own, names)
            for (images, _), own in zip(read, words, strict=True)
        )
        return ImageSet(train=train, test=test, faults=tuple(faults))
