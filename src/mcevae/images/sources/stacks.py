"""Sources with all frames in memory, so that reading can start at any frame."""

from abc import abstractmethod
from collections.abc import Iterable, Iterator, Sequence

from mcevae.images.arrays import MAX_SIDE
from mcevae.images.readers.frames import Frame
from mcevae.images.sources.contract import Position, Share, Track
from mcevae.images.sources.frames import SAMPLE, FrameSource, Numbered


class StackSource(FrameSource):
    """Frames by their number."""

    largest = MAX_SIDE

    @abstractmethod
    def frames(self, part: str = "all") -> Sequence[Frame]:
        """Frames of a part: train, test, or all (train first)."""

    def total(self, part: str = "all") -> int:
        """See `Source.total`."""
        return len(self.frames(part))

    def sample(self) -> Iterable[Frame]:
        """See `Source.sample`: about `SAMPLE` frames."""
        frames = self.frames()
        return frames[:: max(1, len(frames) // SAMPLE)]

    def numbered(
        self, begin: Position, share: Share | None, part: str, track: Track
    ) -> Iterator[Numbered]:
        """See `FrameSource.numbered`. A share is one stretch of the frames."""
        frames = self.frames(part)
        rows = share.rows(len(frames)) if share else range(len(frames))
        # Parts of tables that an older version began count images alone, which were all frames.
        first = max(begin.frame, begin.images)
        for i, row in enumerate(rows[first:], first):
            yield Numbered(frames[row], row, 0, i + 1, i / len(rows))
