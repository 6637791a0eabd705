"""Arrays in memory, such as the X of an estimator."""

from collections.abc import Sequence

from mcevae.base.config import DataConfig
from mcevae.images.arrays import ImageSet
from mcevae.images.readers.frames import Frame
from mcevae.images.recipe import Recipe
from mcevae.images.sources.contract import Track
from mcevae.images.sources.stacks import StackSource


class MemorySource(StackSource):
    """Frames in memory. They have no name or path, so code must create this source itself."""

    def __init__(self, frames: Sequence[Frame], settings: DataConfig, name: str = "X") -> None:
        """Take the frames.

        Args:
            frames: the images.
            settings: how they are read.
            name: what errors call the source.
        """
        super().__init__(name, settings)
        self.stack = frames

    @classmethod
    def takes(cls, name: str) -> bool:
        """No name is of this kind."""
        return False

    def frames(self, part: str = "all") -> Sequence[Frame]:
        """See `StackSource.frames`. There are no parts."""
        return self.stack

    def load(self, track: Track = iter, recipe: Recipe | None = None) -> ImageSet:
        """See `Source.load`."""
        images, faults = self.images(recipe or self.survey.recipe, track=track)
        return ImageSet(train=images, faults=tuple(faults))
