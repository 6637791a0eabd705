"""Sources whose images are frames of any size and number type.

A recipe brings the frames to one form. `FrameSource.parts` is the only loop that reads, prepares
and collects them, for images that are loaded, packed or predicted.
"""

from abc import abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from itertools import islice
from typing import Literal, NamedTuple

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor

from mcevae.base.config import DataConfig
from mcevae.base.errors import UserError
from mcevae.base.names import path_of
from mcevae.images.intensities import floats
from mcevae.images.masks import ALPHA, CIRCLE, as_text, from_file, masked
from mcevae.images.numbers import BYTE, Numbers, shown_by
from mcevae.images.readers.frames import Fault, Frame, Unreadable
from mcevae.images.readers.registry import frames_of
from mcevae.images.recipe import Recipe
from mcevae.images.sources.contract import (
    START,
    Original,
    Part,
    Position,
    Share,
    Source,
    Track,
    no_image,
)
from mcevae.images.suiting import suited
from mcevae.images.survey import SIDE, Survey, of_one_kind, survey

SAMPLE = 512
"""Number of frames from which a recipe is chosen."""
FEW = 128
"""Number of frames that tell whether new images hold the numbers of the training."""
FILE_BITS = 32
"""The number of an image is that of its file, shifted by so many bits, plus that of its frame."""


class Numbered(NamedTuple):
    """A frame, and where it is in its source.

    Attributes:
        frame: as its file has it, or why it cannot be used.
        number: of the image, unique in the source.
        file, next_frame: the `Position` of the frame after it.
        done: share of the source that is done before this frame, 0 to 1.
    """

    frame: Frame | Fault
    number: int
    file: int
    next_frame: int
    done: float


class FrameSource(Source):
    """Frames that a recipe brings to one form."""

    largest: int = SIDE
    """Side up to which images keep their size, if they are all alike."""

    @abstractmethod
    def numbered(
        self, begin: Position, share: Share | None, part: str, track: Track
    ) -> Iterator[Numbered]:
        """Frames and faults in order.

        Args:
            begin: where to start.
            share: images of one of several processes; None: all of them.
            part: all, train or test, of a source that has them.
            track: wraps the files, to show progress.
        """

    @cached_property
    def survey(self) -> Survey:
        """Look at a sample of the images once and choose what the settings do not give.

        Raises:
            UserError: no frame of the sample can be used.
        """
        settings = self.settings
        bits = mask_bits(settings)
        frames = usable(self.name, self.sample(), settings, bits)
        check_colour(self.name, frames, settings.colour)
        return survey(
            frames,
            size=settings.size,
            most=self.largest,
            fit=settings.fit,
            channels=settings.colour,
            normalise=settings.normalise,
            background=settings.background,
            levels=settings.levels,
            flatten=settings.flatten,
            isolate=settings.isolate,
            white=settings.white,
            stretch=settings.stretch,
            invert=settings.invert,
            mask=settings.mask,
            mask_bits=bits,
        )

    def parts(
        self,
        recipe: Recipe,
        *,
        part: str = "all",
        begin: Position = START,
        share: Share | None = None,
        track: Track = iter,
    ) -> Iterator[Part]:
        """See `Source.parts`. Images of a share are numbered, since others are between them."""
        if recipe.numbers and recipe != self.chosen:
            few, _ = sifted(islice(self.sample(), FEW), "image", recipe=recipe)
            recipe = suited(recipe, few, self.name, self.reading.notes)
        collected = Collected(begin)
        for numbered in self.numbered(begin, share, part, track):
            image = prepared(numbered.frame, recipe, self.name, self.settings.on_error)
            if isinstance(numbered.frame, Frame) and not isinstance(image, Fault):
                self.tell_gaps(numbered.frame)
            collected.add(numbered, image)
            if len(collected.images) == self.part_size:
                yield self.collect(collected, recipe, share)
                collected = Collected(collected.end)
        if collected.images or collected.faults:
            collected.done = 1.0
            yield self.collect(collected, recipe, share)

    def originals(self, recipe: Recipe, part: str = "all") -> Iterator[Original | Fault]:
        """See `Source.originals`."""
        for numbered in self.numbered(START, None, part, iter):
            image = prepared(numbered.frame, recipe, self.name, self.settings.on_error)
            if isinstance(image, Fault):
                yield image
            elif isinstance(numbered.frame, Frame):  # of a fault, `prepared` makes a fault
                yield Original(frame=numbered.frame, image=image, done=numbered.done)

    @property
    def chosen(self) -> Recipe | None:
        """The recipe that was chosen for these very images, if any was."""
        found: Survey | None = self.__dict__.get("survey")
        return found.recipe if found else None

    def tell_gaps(self, frame: Frame) -> None:
        """Note it if a frame that was used has NaN."""
        if frame.pixels.dtype.kind == "f" and np.isnan(shown_by(frame).sum()):
            file = self.reading.of(frame.name.partition("#")[0])
            file.note("has images with NaN at their border, where the background is put")

    def collect(self, collected: "Collected", recipe: Recipe, share: Share | None) -> Part:
        """Make a part of what was collected. The other arguments are as in `parts`."""
        empty = torch.empty(0, recipe.channels, *recipe.shape, dtype=torch.uint8)
        return Part(
            pixels=torch.stack(collected.images) if collected.images else empty,
            names=collected.names if self.named else None,
            faults=collected.faults,
            end=collected.end,
            done=collected.done,
            ids=collected.numbers if share else None,
            places=None if share else collected.places,
            columns=self.columns(collected.numbers),
            sizes=np.array(collected.sizes, np.int32).reshape(-1, 2),
        )


class Collected:
    """Images, their names and numbers, and faults, while a part is read."""

    def __init__(self, begin: Position) -> None:
        self.begin = self.end = begin
        self.done = 0.0
        self.images: list[Tensor] = []
        self.names: list[str] = []
        self.numbers: list[int] = []
        self.places: list[int] = []
        self.sizes: list[tuple[int, ...]] = []
        self.faults: list[Fault] = []

    def add(self, numbered: Numbered, image: Tensor | Fault) -> None:
        """Add the image of a frame, or the reason why it cannot be used."""
        if isinstance(image, Fault):
            self.faults.append(image)
        elif isinstance(numbered.frame, Frame):  # of a fault, `prepared` makes a fault
            self.images.append(image)
            self.sizes.append(numbered.frame.pixels.shape[:2])
            self.names.append(numbered.frame.name)
            self.numbers.append(numbered.number)
            self.places.append(self.end.entries)
        images = self.begin.images + len(self.images)
        self.end = Position(
            file=numbered.file,
            frame=numbered.next_frame,
            images=images,
            entries=self.end.entries + 1,
        )
        self.done = numbered.done


def prepared(
    frame: Frame | Fault, recipe: Recipe, source: str, on_error: Literal["skip", "stop"]
) -> UInt8[Tensor, "C H W"] | Fault:
    """Convert a frame to an image for the model, or return why that is not possible.

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
        return recipe(frame)
    except Unreadable as error:
        if on_error == "stop":
            raise UserError(f"{source}: {frame.name} {error}.") from error
        return Fault(frame.name, str(error))


def check_colour(source: str, frames: Sequence[Frame], colour: str) -> None:
    """Refuse to take channels that are no colours for colours, or for grey.

    Raises:
        UserError: most of the images have others than `--colour` asks for.
    """
    names = of_one_kind(frames, colour)[0].channels
    if colour != "auto" and names:
        raise UserError(
            f"{source}: its images have {len(names)} channels ({', '.join(names)}), which --colour "
            f"{colour} does not fit; leave it out, or choose {3 if colour == 'rgb' else 1} with "
            "--channels."
        )


def mask_bits(settings: DataConfig) -> str | None:
    """The mask of all images that settings name, as text; None: there is none, or it is no file.

    Raises:
        UserError: the file is no mask.
    """
    if settings.mask_bits or settings.mask in (None, CIRCLE, ALPHA):
        return settings.mask_bits
    path = path_of(settings.mask)
    return as_text(from_file(path, next(frames_of(path, path.name))))


def under_mask(frame: Frame | Fault, mask: str | None, bits: str | None) -> Frame | Fault:
    """A frame with its mask, or why it cannot have it."""
    try:
        return frame if isinstance(frame, Fault) else masked(frame, mask, bits)
    except Unreadable as error:
        return Fault(frame.name, str(error))


def usable(
    source: str, frames: Iterable[Frame | Fault], settings: DataConfig, bits: str | None
) -> list[Frame]:
    """The frames that can be used.

    Args:
        source: what errors call the source.
        frames: a sample.
        settings: normalise, of which none asks for values inside the range; white; and mask.
        bits: of the mask, as in `masked`.

    Raises:
        UserError: there is none.
    """
    each = (under_mask(frame, settings.mask, bits) for frame in frames)
    good, faults = sifted(each, settings.normalise, settings.white)
    if not good:
        raise no_image(source, faults)
    return good


def sifted(
    frames: Iterable[Frame | Fault],
    normalise: str,
    white: float | None = None,
    recipe: Recipe | None = None,
) -> tuple[list[Frame], list[Fault]]:
    """The frames that can be used, and why others cannot.

    Args:
        frames: a sample.
        normalise: as in the settings; none asks for values inside the range.
        white: as in the settings.
        recipe: that the frames must fit as well, and whose mask they get; None: any.
    """
    good: list[Frame] = []
    faults: list[Fault] = []
    rule = "none" if normalise == "none" else "image"
    for frame in frames:
        if isinstance(frame, Fault):
            faults.append(frame)
            continue
        try:
            frame = frame if recipe is None else recipe.fitted(frame)
            bytelike = rule == "none" and Numbers.of([frame]).looks_like_bytes
            floats(frame, rule, None, white or (BYTE if bytelike else None))
        except Unreadable as error:
            faults.append(Fault(frame.name, str(error)))
        else:
            good.append(frame)
    return good, faults
