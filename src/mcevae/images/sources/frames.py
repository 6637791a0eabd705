"""Sources whose images come as frames one after another, to be brought to one form by a recipe."""

from abc import abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from typing import Literal

import torch
from torch import Tensor

from mcevae.base.errors import UserError
from mcevae.images.readers.frames import Fault, Frame, Unreadable
from mcevae.images.recipe import SIDE, Recipe, Survey, floats, survey
from mcevae.images.sources.contract import PART, Part, Position, Share, Source, Track

Numbered = tuple[int, int, Frame | Fault]
"""Number of the file, of the frame in it, and the frame."""


class FrameSource(Source):
    """Frames of any size and kind of number."""

    largest: int = SIDE
    """Side up to which images keep their size, if they are all alike."""

    @abstractmethod
    def sample(self) -> Iterable[Frame | Fault]:
        """Some frames from all over the source, from which a recipe is found."""

    @abstractmethod
    def numbered(
        self, begin: Position, share: Share | None, part: str, track: Track
    ) -> Iterator[Numbered]:
        """Frames and faults in order; arguments as for `parts`."""

    @abstractmethod
    def end(self, images: int) -> Position:
        """The position after the last frame, when so many images were there."""

    @abstractmethod
    def done(self, position: Position) -> float:
        """The share of the source that lies before a position."""

    @cached_property
    def survey(self) -> Survey:  # pyright: ignore[reportIncompatibleMethodOverride]
        """What the images are like; found once, keeping to what the settings give.

        Raises:
            UserError: no frame of the sample can be used.
        """
        settings = self.settings
        return survey(
            usable(self.name, self.sample(), settings.normalise),
            size=settings.size,
            most=self.largest,
            fit=settings.fit,
            channels=settings.colour,
            normalise=settings.normalise,
            background=settings.background,
            levels=settings.levels,
        )

    def parts(
        self,
        recipe: Recipe,
        *,
        part: str = "all",
        begin: Position = Position(),  # noqa: B008  it is frozen
        share: Share | None = None,
        track: Track = iter,
    ) -> Iterator[Part]:
        """See `Source.parts`. Every frame that is read, is read here."""
        collected = Collected(recipe, self.named, numbered=share is not None)
        count = begin.images
        for file, index, frame in self.numbered(begin, share, part, track):
            collected.add(file, index, prepared(frame, recipe, self.name, self.settings.on_error))
            if len(collected.images) == PART:
                count += PART
                end = Position(file=file, frame=index + 1, images=count)
                yield collected.part(end, self.done(end))
                collected = Collected(recipe, self.named, numbered=share is not None)
        if collected.images or collected.faults:
            yield collected.part(self.end(count + len(collected.images)), 1.0)


class Collected:
    """The images and faults of a part while it is read."""

    def __init__(self, recipe: Recipe, named: bool, numbered: bool) -> None:
        self.recipe, self.named, self.numbered = recipe, named, numbered
        self.images: list[Tensor] = []
        self.names: list[str] = []
        self.ids: list[int] = []
        self.faults: list[Fault] = []

    def add(self, file: int, index: int, image: tuple[str, Tensor] | Fault) -> None:
        """Put an image in, or what could not be used."""
        if isinstance(image, Fault):
            self.faults.append(image)
            return
        name, pixels = image
        self.images.append(pixels)
        self.names.append(name)
        self.ids.append((file << FILE_BITS) + index)

    def part(self, end: Position, done: float) -> Part:
        """What is there as a part that ends at a position."""
        shape = (self.recipe.channels, *self.recipe.shape)
        return Part(
            pixels=torch.stack(self.images) if self.images else torch.empty(0, *shape).byte(),
            names=self.names if self.named else None,
            faults=self.faults,
            end=end,
            done=done,
            ids=self.ids if self.numbered else None,
        )


FILE_BITS = 32
"""An image's id in a share is the number of its file, shifted by so many bits, plus its frame's."""


def prepared(
    frame: Frame | Fault, recipe: Recipe, source: str, on_error: Literal["skip", "stop"]
) -> tuple[str, Tensor] | Fault:
    """A frame's name and its image for the model, (C, H, W) uint8; or why it cannot be one.

    Args:
        frame: as its file has it, or why it has none.
        recipe: what is done to it.
        source: what errors call the source.
        on_error: skip: say why; stop: refuse.

    Raises:
        UserError: it cannot be one, and `on_error` is stop.
    """
    try:
        if isinstance(frame, Fault):
            raise Unreadable(frame.reason)
        return frame.name, recipe(frame)
    except Unreadable as error:
        if on_error == "stop":
            raise UserError(f"{source}: {frame.name} {error}.") from error
        return Fault(frame.name, str(error))


def usable(source: str, frames: Iterable[Frame | Fault], normalise: str) -> list[Frame]:
    """Those frames that can be brought to a form.

    Args:
        source: what errors call the source.
        frames: a sample.
        normalise: as in the settings; none asks for values inside the range.

    Raises:
        UserError: there is none.
    """
    good, faults = [], []
    for frame in frames:
        if isinstance(frame, Fault):
            faults.append(frame)
            continue
        try:
            floats(frame.pixels, "none" if normalise == "none" else "image", None)
        except Unreadable as error:
            faults.append(Fault(frame.name, str(error)))
        else:
            good.append(frame)
    if not good:
        raise no_image(source, faults)
    return good


def no_image(source: str, faults: Sequence[Fault]) -> UserError:
    """What to say when no image of a source can be used."""
    first = faults[0]
    file = source.rstrip("/").rsplit("/", 1)[-1]
    where = "" if first.name == file else f"no image can be used; {first.name} "
    return UserError(f"{source}: {where}{first.reason}.")
