"""Arrays in memory, such as the X of an estimator."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

import numpy as np

from mcevae.base.config import DataConfig
from mcevae.images.arrays import MAX_SIDE, Images, ImageSet
from mcevae.images.readers.frames import Fault, Frame
from mcevae.images.sources.contract import Position, Share, Track, together
from mcevae.images.sources.files import SAMPLE
from mcevae.images.sources.frames import FrameSource, Numbered, no_image


class ArraySource(FrameSource):
    """Frames that are in memory. No name stands for it, so that it is made by hand.

    Args:
        arrays: each (H, W) or (H, W, C), any kind of number.
        settings: how they are read.
        name: what errors call it; its images are called `name[0]`, `name[1]`, ...
    """

    largest = MAX_SIDE

    def __init__(
        self, arrays: Sequence[np.ndarray] | np.ndarray, settings: DataConfig, name: str = "X"
    ) -> None:
        super().__init__(name, settings)
        self.arrays = arrays

    @classmethod
    def takes(cls, name: str) -> bool:
        """No name is of this kind."""
        return False

    def sample(self) -> Iterable[Frame | Fault]:
        """See `FrameSource.sample`."""
        chosen = range(0, len(self.arrays), max(1, len(self.arrays) // SAMPLE))
        return (Frame(f"{self.name}[{i}]", self.arrays[i]) for i in chosen)

    def numbered(
        self, begin: Position, share: Share | None, part: str, track: Track
    ) -> Iterator[Numbered]:
        """See `FrameSource.numbered`."""
        for i, pixels in islice(enumerate(self.arrays), begin.frame, None):
            if share is None or share.has(0, i):
                yield 0, i, Frame(f"{self.name}[{i}]", pixels)

    def end(self, images: int) -> Position:
        """See `FrameSource.end`."""
        return Position(frame=len(self.arrays), images=images)

    def done(self, position: Position) -> float:
        """See `FrameSource.done`."""
        return position.frame / max(1, len(self.arrays))

    def load(self, track: Track = iter) -> ImageSet:
        """See `Source.load`."""
        pixels, _, faults = together(self.parts(self.survey.recipe, track=track))
        if pixels is None:
            raise no_image(self.name, faults)
        return ImageSet(train=Images(name=self.name, pixels=pixels), faults=tuple(faults))
