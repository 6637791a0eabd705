"""A .npz with training and test images of its own, under one of the usual names.

They are `x_train`, `x_test` with labels `y_train`, `y_test`, or, as in MedMNIST (Yang et al.,
2023), `train_images`, `test_images` with `train_labels` and so on. Both may have `val` as well.
"""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from zipfile import is_zipfile

from mcevae.base.errors import UserError
from mcevae.base.names import path_of
from mcevae.images.arrays import ImageSet
from mcevae.images.labels import LABELS_OF, kinds_of, with_words, words_in
from mcevae.images.readers.arrays import from_archive, names_in, of_stack
from mcevae.images.readers.channels import framed
from mcevae.images.readers.frames import Frame, Unreadable
from mcevae.images.recipe import Recipe
from mcevae.images.sources.contract import Track
from mcevae.images.sources.stacks import StackSource

PARTS = {
    "train": ("x_train", "x_val", "train_images", "val_images"),
    "test": ("x_test", "test_images"),
}
"""For each part, the arrays that can hold its images. Images for validation are training images:
which of these validate is chosen as for any other source."""


class ArchiveSource(StackSource):
    """The arrays of a .npz; its images are read as frames, like those of any other file."""

    @classmethod
    def takes(cls, name: str) -> bool:
        """Whether it is a .npz with arrays of training and of test images."""
        path = path_of(name)
        if path.suffix.lower() != ".npz" or not is_zipfile(path):
            return False
        try:
            held = names_in(path)
        except Exception:  # a damaged archive: the readers say what is wrong with it
            return False
        return all(not set(own).isdisjoint(held) for own in PARTS.values())

    def names(self, part: str) -> list[str]:
        """The arrays that hold the images of a part."""
        held = names_in(self.location)
        return [name for name in PARTS[part] if name in held]

    def files(self) -> list[Path]:
        """See `Source.files`."""
        return [self.location]

    @cached_property
    def stacks(self) -> dict[str, list[Frame]]:
        """Frames of each part.

        Raises:
            UserError: they are no images.
        """
        return {
            part: [frame for name in self.names(part) for frame in self.stack(name)]
            for part in PARTS
        }

    def stack(self, name: str) -> list[Frame]:
        """Frames of an array.

        Raises:
            UserError: it cannot be read, or does not hold images.
        """
        try:
            array = from_archive(self.location, name)
            assert array is not None  # it is one of `names`
            if array.ndim < 3:
                raise Unreadable(f"has shape {array.shape}; use (n, H, W) or (n, H, W, C)")
            reading = self.reading.of(f"{self.name}: {name}")
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
            words_in(
                self.location,
                [LABELS_OF[name] for name in self.names(part)],
                images,
                self.total(part),
                self.reading.notes,
            )
            for part, (images, _) in zip(PARTS, read, strict=True)
        ]
        names = kinds_of(word for own in words for word in own or ())
        train, test = (
            images if own is None else with_words(images, own, names)
            for (images, _), own in zip(read, words, strict=True)
        )
        return ImageSet(train=train, test=test, faults=tuple(faults))
