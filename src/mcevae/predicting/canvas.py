"""Frames as they are, at full resolution, on canvases that show what the model's images show.

The model looks at small copies. A canvas is a large copy made in the same way: the same part of the
frame, scaled less or not at all. So a pose that the model found in the small copy is also that of
the large one, but for the rounding of sizes to pixels, which `moved_to` takes into account.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Float32
from torch import Tensor

from mcevae.images.intensities import intensities, pairs_of, tails, with_channels
from mcevae.images.placement import Shape, placement, ratios
from mcevae.images.readers.frames import Frame
from mcevae.images.recipe import Recipe, padded, resized

SMALLEST = 4
"""Smallest side of a canvas."""


class Seen(NamedTuple):
    """What was seen of a frame: its height and width, and whether it has colours."""

    shape: Shape
    coloured: bool


@dataclass(frozen=True, kw_only=True)
class Canvases:
    """The size of the average of each unit, and the intensities in it.

    Attributes:
        recipe: how the model's images are made.
        shapes: (H, W) of each unit's average.
        channels: those of the recipe if it names them; else 1 or 3, as the frames have, even if
            the model sees fewer.
        levels: intensities that the model sees as black and white, as in `Recipe`. None: each
            image has its own.
        shrunk: how much smaller than the frames the averages are, to save memory; 1: as large.
    """

    recipe: Recipe
    shapes: Mapping[str, Shape]
    channels: int
    levels: tuple[float, ...] | None
    shrunk: float = 1.0

    def opened(self, frame: Frame, shape: Shape) -> Float32[Tensor, "channels H W"]:
        """Put a frame on a canvas of a shape, with one more channel: 1 where the frame is, else 0.

        Raises:
            Unreadable: the frame's shape or values do not fit.
        """
        frame = self.recipe.fitted(frame)
        values, opacity = intensities(frame, self.recipe.white)
        values = values.astype(np.float32)
        if opacity.min() < 1:
            values = opacity * values + (1 - opacity) * self.behind(values).numpy()
        image = torch.from_numpy(np.ascontiguousarray(values)).movedim(-1, 0)
        image = with_channels(image, self.channels)
        seen = torch.ones_like(image[:1])
        if frame.seen is not None:
            seen = torch.from_numpy(frame.seen.astype(np.float32))[None]
        image = torch.cat([image * seen, seen])
        return padded(resized(image, shape, self.recipe.fit), shape, 0.0)

    def behind(self, values: Float32[np.ndarray, "H W C"]) -> Float32[Tensor, " levels"]:
        """Intensity of the background of a picture: one for all its channels, or one for each."""
        low, high = np.array(pairs_of(self.levels or tails(values)), np.float32).T
        return torch.from_numpy(low + self.recipe.background * (high - low))

    def moved_to(
        self, elements: Float[Tensor, "n 3 3"], frames: Sequence[Frame], shape: Shape
    ) -> Float[Tensor, "n 3 3"]:
        """Poses on a canvas, from poses in the model's images of the same frames."""
        sizes = [frame.pixels.shape[:2] for frame in frames]
        changes = {size: self.change(size, shape) for size in set(sizes)}
        return torch.stack([changes[size] for size in sizes]).to(elements) @ elements

    def change(self, size: Shape, shape: Shape) -> Float[Tensor, "3 3"]:
        """What takes a pose in the model's image of a frame to the pose on its canvas."""
        small = placement(size, self.recipe.shape, self.recipe.fit)
        large = placement(size, shape, self.recipe.fit)
        return large @ torch.linalg.inv(small)


def canvases(
    recipe: Recipe,
    samples: Mapping[str, Sequence[Seen]],
    *,
    raw: bool,
    one_size: bool,
    most_bytes: int,
) -> Canvases:
    """Choose the canvas of each unit: the median size of its frames.

    Args:
        recipe: how the model's images are made.
        samples: of each unit, what was seen of a sample of the source. Units without any get the
            median size of all.
        raw: whether the frames have the intensities of their files.
        one_size: whether all units get the median size of all.
        most_bytes: the most that the sums of all units, in two halves, may take.
    """
    seen = [one for own in samples.values() for one in own]
    usual = shape_for(seen, recipe)
    shapes = {
        unit: shape_for(own, recipe) if own and not one_size else usual
        for unit, own in samples.items()
    }
    channels = len(recipe.names) or (3 if any(one.coloured for one in seen) else 1)
    needed = sum(2 * (channels + 1) * 4 * math.prod(shape) for shape in shapes.values())
    shrunk = max(1.0, math.sqrt(needed / most_bytes))
    levels = {"none": (0.0, 1.0), "set": recipe.levels, "image": None}[recipe.normalise]
    return Canvases(
        recipe=recipe,
        shapes={unit: scaled(shape, 1 / shrunk) for unit, shape in shapes.items()},
        channels=channels,
        levels=levels if raw else (0.0, 1.0),
        shrunk=shrunk,
    )


def shape_for(seen: Iterable[Seen], recipe: Recipe) -> Shape:
    """The shape of the model's images, enlarged until frames of median size keep their size."""
    shapes = np.array([one.shape for one in seen])
    return scaled(recipe.shape, 1 / float(np.median(ratios(shapes, recipe.shape, recipe.fit))))


def scaled(shape: Shape, by: float) -> Shape:
    """A shape with its sides multiplied, in whole pixels."""
    height, width = (max(SMALLEST, round(side * by)) for side in shape)
    return height, width
