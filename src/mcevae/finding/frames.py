"""Large frames, read window by window, as intensities that a run's model takes."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from mcevae.base.errors import UserError
from mcevae.images.forms import Pictures
from mcevae.images.intensities import intensities, pairs_of, tails, with_channels
from mcevae.images.readers.channels import framed, held
from mcevae.images.readers.frames import Channels, Fault, Found, Frame, Unreadable
from mcevae.images.readers.inside import parted
from mcevae.images.readers.reading import Reading
from mcevae.images.readers.registry import reader_of
from mcevae.images.readers.views import View
from mcevae.images.recipe import Recipe
from mcevae.images.sources.files import name_of
from mcevae.images.stretch import asinh
from mcevae.images.suiting import suited
from mcevae.runs.answers import frames_in

SAMPLE = 1024
"""Side of the window in the middle of a frame that says which numbers it holds, pixels."""


@dataclass(frozen=True, kw_only=True)
class Large:
    """A large frame.

    Attributes:
        file: name of its file below the source.
        number: of the frame in its file, from 0.
        view: gives windows of it.
        reading: how it is read.
    """

    file: str
    number: int
    view: View
    reading: Reading

    @property
    def name(self) -> str:
        """What errors call it."""
        return f"{self.file}#{self.number}" if self.number else self.file

    def window(self, rows: slice, columns: slice) -> Frame:
        """The pixels of a window.

        Raises:
            Unreadable: they cannot be read.
        """
        pixels = self.view.read(rows, columns)
        found = held(pixels, pictured=self.view.pictured, names=self.view.names)
        return framed(self.name, found, self.reading)


def frames_of_files(paths: list[Path], source: Path, reading: Reading) -> Iterator[Large | Fault]:
    """The frames of files in their order; of a file that cannot be read, why.

    Args:
        paths: of the files.
        source: what their names are below.
        reading: choices where files leave one.
    """
    for path in paths:
        name = name_of(path, source)
        file, inside = parted(path)
        own = replace(reading.of(name), inside=inside, views=True)
        number = -1
        try:
            for number, found in enumerate(reader_of(file)(file, own)):
                yield large_of(name, number, found, own)
            if number < 0:
                yield Fault(name, "holds no images")
        except UserError:
            raise
        except Unreadable as error:
            yield Fault(name, str(error))
        except Exception as error:  # damaged files raise whatever their decoders stumble over
            yield Fault(name, f"cannot be read ({type(error).__name__}: {error})")


def large_of(name: str, number: int, found: Found, reading: Reading) -> Large | Fault:
    """A frame as its reader gives it."""
    if isinstance(found, Unreadable):
        return Fault(f"{name}#{number}", str(found))
    if isinstance(found, Channels):
        found = replace(View.of(found.pixels), pictured=False, names=found.names)
    view = View.of(found) if isinstance(found, np.ndarray) else found
    return Large(file=name, number=number, view=view, reading=reading)


def frames_in_memory(images: Pictures, reading: Reading) -> Iterator[Large]:
    """Frames in memory, named images[0] and so on.

    Raises:
        UserError: they have another shape, or there is none.
    """
    for number, frame in enumerate(frames_in(images, reading)):
        view = View(
            shape=frame.pixels.shape,
            read=lambda rows, columns, pixels=frame.pixels: pixels[rows, columns],
            pictured=not frame.channels,
            names=frame.channels,
        )
        yield Large(file="images", number=number, view=view, reading=reading)


@dataclass(frozen=True, kw_only=True)
class Scale:
    """Turns the pixels of a frame into intensities as the images of a run have them.

    Attributes:
        recipe: of the run, suited to the frame.
        levels: black and white of each channel.
    """

    recipe: Recipe
    levels: list[tuple[float, float]]

    @classmethod
    def of(cls, frame: Large, recipe: Recipe) -> "Scale":
        """The scale of a frame, from a window in its middle.

        Raises:
            Unreadable: the window cannot be read or used.
            UserError: it holds another kind of numbers than the run's images.
        """
        height, width = frame.view.shape[:2]
        rows, columns = (
            slice(max(0, (n - SAMPLE) // 2), min(n, (n + SAMPLE) // 2)) for n in (height, width)
        )
        middle = recipe.fitted(frame.window(rows, columns))
        recipe = suited(recipe, [middle], frame.name, frame.reading.notes)
        if recipe.normalise == "set":
            return cls(recipe=recipe, levels=pairs_of(recipe.levels or ()))
        if recipe.normalise == "none":
            return cls(recipe=recipe, levels=[(0.0, 1.0)])
        values, _ = intensities(middle, recipe.white)
        parts = np.split(values, values.shape[-1], -1) if recipe.names else [values]
        return cls(recipe=recipe, levels=[tails(part) for part in parts])

    def __call__(self, frame: Large, rows: slice, columns: slice) -> Float[Tensor, "C h w"]:
        """The intensities of a window: 0 is black and 1 is white, but noise may go beyond.

        Raises:
            Unreadable: the window cannot be read or used.
        """
        recipe = self.recipe
        values, opacity = intensities(recipe.fitted(frame.window(rows, columns)), recipe.white)
        low, high = np.array(self.levels, values.dtype).T
        values = (values - low) / np.where(high > low, high - low, 1)
        if recipe.stretch == "asinh":
            values = asinh(values.clip(0, 1).astype(np.float32))
        values = 1 - values if recipe.invert else values
        values = opacity * values + (1 - opacity) * recipe.background
        image = torch.from_numpy(np.ascontiguousarray(values, np.float32)).movedim(-1, 0)
        return with_channels(image, recipe.channels)
