"""A .npz with training and test images of its own: x_train, x_test, and labels y_train, y_test."""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import ClassVar
from zipfile import ZipFile, is_zipfile

import numpy as np
import torch

from mcevae.base.errors import UserError
from mcevae.images.arrays import MAX_SIDE, Images, ImageSet, require
from mcevae.images.labels import checked_labels
from mcevae.images.readers.arrays import from_archive, of_stack
from mcevae.images.readers.frames import Fault, Frame, Unreadable
from mcevae.images.sources.contract import Position, Share, Track, together
from mcevae.images.sources.files import SAMPLE
from mcevae.images.sources.frames import FrameSource, Numbered, no_image

PARTS = ("train", "test")


class ArchiveSource(FrameSource):
    """The arrays of a .npz; its images are frames as those of any file."""

    one_form: ClassVar[bool] = True
    largest = MAX_SIDE

    @classmethod
    def takes(cls, name: str) -> bool:
        """Whether it is a .npz with an array x_train."""
        path = Path(name)
        if path.suffix.lower() != ".npz" or not is_zipfile(path):
            return False
        try:
            with ZipFile(path) as archive:
                return "x_train.npy" in archive.namelist()
        except Exception:  # a damaged archive: the readers say what is wrong with it
            return False

    def files(self) -> list[Path]:
        """See `Source.files`."""
        return [Path(self.name)]

    def array(self, name: str) -> np.ndarray | None:
        """An array by its name; None if there is no such one.

        Raises:
            UserError: it cannot be read.
        """
        try:
            return from_archive(Path(self.name), name)
        except Unreadable as error:
            raise UserError(f"{self.name}: its array {name} {error}.") from error

    @cached_property
    def stacks(self) -> dict[str, np.ndarray]:
        """Images of each part, as they are stored.

        Raises:
            UserError: there are none, or they are no images.
        """
        stacks = {}
        for part in PARTS:
            stack = self.array(f"x_{part}")
            if stack is None:
                raise UserError(f"{self.name}: has no array x_{part}; add it.")
            if stack.ndim not in (3, 4):
                raise UserError(
                    f"{self.name}: x_{part} has shape {stack.shape}; use (n, H, W) or (n, H, W, C)."
                )
            stacks[part] = stack
        return stacks

    def frames(self, part: str) -> Iterator[Frame | Fault]:
        """Frames of a part: train, test, or all (train first)."""
        for own in PARTS if part == "all" else (part,):
            name = f"x_{own}"
            try:
                for i, pixels in enumerate(of_stack(self.stacks[own])):
                    yield Frame(f"{name}#{i}", pixels)
            except Unreadable as error:
                yield Fault(name, str(error))

    def count(self, part: str) -> int:
        """Frames of a part."""
        return sum(len(self.stacks[own]) for own in (PARTS if part == "all" else (part,)))

    def sample(self) -> Iterable[Frame | Fault]:
        """See `FrameSource.sample`."""
        return islice(self.frames("all"), 0, None, max(1, self.count("all") // SAMPLE))

    def numbered(
        self, begin: Position, share: Share | None, part: str, track: Track
    ) -> Iterator[Numbered]:
        """See `FrameSource.numbered`."""
        for j, frame in islice(enumerate(self.frames(part)), begin.frame, None):
            if share is None or share.has(0, j):
                yield 0, j, frame

    def end(self, images: int) -> Position:
        """See `FrameSource.end`."""
        return Position(frame=self.count("all"), images=images)

    def done(self, position: Position) -> float:
        """See `FrameSource.done`."""
        return position.frame / max(1, self.count("all"))

    def load(self, track: Track = iter) -> ImageSet:
        """See `Source.load`."""
        loaded, faults = {}, []
        for part in PARTS:
            pixels, _, wrong = together(self.parts(self.survey.recipe, part=part))
            faults += wrong
            if pixels is None:
                raise no_image(self.name, wrong)
            images = Images(name=self.name, pixels=pixels)
            labels = self.array(f"y_{part}")
            if labels is not None:
                require(
                    not wrong,
                    f"{self.name}: {len(wrong)} images of x_{part} cannot be used, so that "
                    f"y_{part} does not fit; leave both out.",
                )
                known = checked_labels(labels, len(images), f"{self.name}: y_{part}")
                images = replace(images, labels=torch.from_numpy(known))
            loaded[part] = images
        return ImageSet(train=loaded["train"], test=loaded["test"], faults=tuple(faults))
