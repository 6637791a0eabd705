"""Show one image of a run as it lies in its file: at full resolution, found by its number alone."""

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from io import BytesIO

import numpy as np
from PIL import Image

from mcevae.base.errors import UserError
from mcevae.images.arrays import to_float
from mcevae.images.intensities import fitting, floats
from mcevae.images.readers.frames import Fault, Frame
from mcevae.images.readers.registry import frames_of
from mcevae.images.recipe import Recipe
from mcevae.images.sources.contract import Source
from mcevae.images.sources.files import FileSource
from mcevae.images.sources.frames import prepared
from mcevae.pages.explorer import Explorer
from mcevae.pages.sheets import picture
from mcevae.predicting.average_files import looked_at
from mcevae.predicting.kept_sums import originals_of

MOST_PIXELS = 2**24
"""Most pixels of a picture that a page gets. Larger ones are made smaller."""
ALIKE = 2 / 255
"""Mean difference, of 1, above which a file does not hold the image of the run any more."""


@dataclass(kw_only=True)
class OriginalFiles:
    """The originals of an explorer's images.

    Attributes:
        explorer: explorer of the run.
        most: most pixels of a picture.
    """

    explorer: Explorer
    most: int = MOST_PIXELS
    _lock: threading.Lock = field(init=False, default_factory=threading.Lock)

    def png(self, image: int) -> tuple[bytes, str]:
        """An image as PNG, and a sentence on what is shown.

        Bytes in grey or colours have the values of the file. Other numbers go from black to white
        between their own lowest and highest percentiles.

        Args:
            image: its number in the page.

        Raises:
            IndexError: there is no such image.
            UserError: its file is gone, cannot be read, or holds another image now.
        """
        gallery = self.explorer.gallery
        gallery.check(image)
        if gallery.names is None or self.explorer.run.settings.data_group is not None:
            return self._kept(image)
        with self._lock:  # one at a time: a file may take gigabytes
            source, recipe = self._opened
            if not source.raw:
                return self._kept(image)
            frame = self._frame(source, recipe, gallery.names[image])
            self._check(frame, recipe, image)
        return smaller(*visible(fitting(frame, recipe.names), self.explorer.run.colours), self.most)

    def _kept(self, image: int) -> tuple[bytes, str]:
        """The image as the run has it, if no file does."""
        pixels = self.explorer.gallery.pixels[image].movedim(0, -1).numpy()
        names = self.explorer.run.recipe.names
        seen, _ = visible(Frame(str(image), pixels, names), self.explorer.run.colours)
        return smaller(seen, "it has no file of its own, so this is the run's copy", self.most)

    @cached_property
    def _opened(self) -> tuple[Source, Recipe]:
        return originals_of(self.explorer.run)

    @cached_property
    def _files(self) -> dict[str, int]:
        """Numbers of the files of a source, by the names of their images."""
        source, _ = self._opened
        assert isinstance(source, FileSource)
        return {source.called(path): i for i, path in enumerate(source.paths)}

    def _frame(self, source: Source, recipe: Recipe, name: str) -> Frame:
        for one in self._candidates(source, recipe, name):
            if isinstance(one, Frame) and one.name == name:
                return one
            if isinstance(one, Fault) and one.name in (name, name.rpartition("#")[0]):
                raise UserError(f"{name}: its file {one.reason}; put it back to see the original.")
        raise UserError(f"{name}: is not in {source.name} any more; put it back to see it.")

    def _candidates(self, source: Source, recipe: Recipe, name: str) -> Iterator[Frame | Fault]:
        """Frames of the one file that has an image, or of all if its name does not tell which."""
        if isinstance(source, FileSource):
            file = self._files.get(name, self._files.get(name.rpartition("#")[0]))
            if file is not None:
                path = source.paths[file]
                yield from frames_of(path, source.called(path), source.reading)
            return
        for one in source.originals(recipe):
            yield one if isinstance(one, Fault) else one.frame

    def _check(self, frame: Frame, recipe: Recipe, image: int) -> None:
        """Check that a frame still gives the image that the run was made from."""
        now = prepared(frame, recipe, frame.name, "skip")
        then = self.explorer.gallery.pixels[image]
        if (
            isinstance(now, Fault)
            or now.shape != then.shape
            or (to_float(now) - to_float(then)).abs().mean() > ALIKE
        ):
            raise UserError(
                f"{frame.name}: its file has changed since the run was made, and holds another "
                "image now; put the old one back to see the original."
            )


def visible(frame: Frame, colours: tuple[str, ...]) -> tuple[Image.Image, str]:
    """A frame as a picture of bytes, and how its numbers are shown; "": as they are.

    Args:
        frame: as its file has it.
        colours: of channels that are no colours, as in `composite`.
    """
    pixels = frame.pixels
    if pixels.dtype == np.uint8 and not frame.channels:
        return Image.fromarray(pixels[..., 0] if pixels.shape[2:] == (1,) else pixels), ""
    if pixels.dtype == np.uint8:
        return picture(looked_at(floats(frame, "none", None)[0], colours).movedim(0, -1)), ""
    seen = looked_at(floats(frame, "image", None)[0], colours)
    return picture(seen.movedim(0, -1)), "black and white are its own darkest and brightest values"


def smaller(seen: Image.Image, told: str, most: int) -> tuple[bytes, str]:
    """A picture of at most so many pixels as PNG, and a sentence on it."""
    width, height = seen.size
    said = f"{width} x {height} pixels"
    factor = int(np.ceil(np.sqrt(width * height / most)))
    if factor > 1:
        seen = seen.reduce(factor)
        said += f", shown {factor} times smaller"
    buffer = BytesIO()
    seen.save(buffer, "png", compress_level=1)
    return buffer.getvalue(), f"{said}; {told}" if told else said
