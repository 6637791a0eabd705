"""Images in memory, all checked and in one form.

Pixels are uint8, (N, C, H, W), 0 to 255. Labels are used for scores only.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Float32, Int64, UInt8
from torch import Tensor

from mcevae.base.errors import UserError
from mcevae.images.readers.frames import Fault

MIN_SIDE, MAX_SIDE = 16, 256  # sides that the networks can take
MISSING = -1
"""Number of an image's label if it has none."""
NO_HINT = -1
"""Stands for the component of an image of which nothing was said."""


@dataclass(frozen=True, kw_only=True)
class Hints:
    """What a person said of N images; see `images.hints`.

    Attributes:
        names: the labels.
        of: (N,) the component of each image, or `NO_HINT`. Components 0 to L - 1 have the L labels;
            others are alike, but nobody said what they are.
        apart: pairs of components that show different kinds, besides those with labels.
    """

    names: tuple[str, ...]
    of: Int64[Tensor, " n"]
    apart: tuple[tuple[int, int], ...]

    def rows(self) -> Int64[Tensor, " m"]:
        """Images with a hint."""
        return (self.of != NO_HINT).nonzero()[:, 0]

    def labelled(self) -> Int64[Tensor, " m"]:
        """Images with a label."""
        return ((self.of != NO_HINT) & (self.of < len(self.names))).nonzero()[:, 0]

    def subset(self, indices: Tensor | slice) -> "Hints":
        """Return the hints of some images, in that order."""
        return replace(self, of=self.of[indices])

    def present(self) -> "Hints | None":
        """The same without labels that no image has; None if nothing is left."""
        left = sorted(set(self.of[self.rows()].tolist()))
        if not left:
            return None
        number = {old: new for new, old in enumerate(left)}
        return Hints(
            names=tuple(name for i, name in enumerate(self.names) if i in number),
            of=torch.tensor([number.get(one, NO_HINT) for one in self.of.tolist()]),
            apart=tuple(
                (number[a], number[b]) for a, b in self.apart if a in number and b in number
            ),
        )


@dataclass(frozen=True, kw_only=True)
class Images:
    """Images of one shape, with labels if they are known."""

    name: str
    pixels: UInt8[Tensor, "n c h w"]
    labels: Int64[Tensor, " n"] | None = None
    """For scoring only; no model sees them. `MISSING` where an image has none."""
    label_names: tuple[str, ...] | None = None
    """Names of label 0, 1, ..."""
    names: np.ndarray | None = None
    """(n,) name of each image, if the images come from files."""
    features: Float[Tensor, "n f"] | None = None
    """Numbers that somebody else computed for each image; see `images.features`."""
    hints: Hints | None = None
    """What a person said of some of them."""
    places: np.ndarray | None = None
    """(n,) number of each image in the source, from 0, with those that could not be used; of
    images that `Source.load` gives, in their part of the source. None: they are counted."""
    sizes: np.ndarray | None = None
    """(n, 2) height and width of each image as it lies in its file. None: those of its pixels."""

    def __len__(self) -> int:
        """Count the images."""
        return len(self.pixels)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height and width of every image."""
        _, channels, height, width = self.pixels.shape
        return channels, height, width

    def subset(self, indices: Tensor | slice) -> "Images":
        """Return the images at `indices`, in that order."""
        positions = indices if isinstance(indices, slice) else indices.numpy()
        return replace(
            self,
            pixels=self.pixels[indices],
            labels=pick(self.labels, indices),
            names=None if self.names is None else self.names[positions],
            features=pick(self.features, indices),
            hints=None if self.hints is None else self.hints.subset(indices),
            places=None if self.places is None else self.places[positions],
            sizes=None if self.sizes is None else self.sizes[positions],
        )


def joined(parts: Sequence[Images]) -> Images:
    """Put images of one source together. What one part does not know, the whole does not.

    Args:
        parts: at least one.
    """

    def whole(name: str, join: Callable[[list[Any]], Any]) -> Any:
        values = [getattr(part, name) for part in parts]
        return None if any(value is None for value in values) else join(values)

    tensors, arrays = ("pixels", "labels", "features"), ("names", "places", "sizes")
    known = {name: whole(name, torch.cat) for name in tensors}
    known |= {name: whole(name, np.concatenate) for name in arrays}
    of = whole("hints", lambda hints: torch.cat([one.of for one in hints]))
    hints = None if of is None or parts[0].hints is None else replace(parts[0].hints, of=of)
    return replace(parts[0], **known, hints=hints)


@dataclass(frozen=True, kw_only=True)
class ImageSet:
    """Images as they were published or saved. `test` is None if there is no test part."""

    train: Images
    test: Images | None = None
    faults: tuple[Fault, ...] = ()
    """Files that could not be used, and why."""


def shrink(images: Float[Tensor, "n c h w"], longest: int = 28) -> Float32[Tensor, "n c h2 w2"]:
    """Shrink images to at most `longest` pixels a side, as float32. A pose needs no finer detail.

    Images that are small enough keep their size.
    """
    height, width = images.shape[-2:]
    ratio = longest / max(height, width)
    if ratio >= 1:
        return images.float()
    small = (max(2, round(height * ratio)), max(2, round(width * ratio)))
    return F.interpolate(images.float(), size=small, mode="bilinear", antialias=True)


def to_float(pixels: UInt8[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """Convert bytes to floats from 0 to 1."""
    return pixels.float() / 255


def to_bytes(pixels: Float[Tensor, "*shape"]) -> UInt8[Tensor, "*shape"]:
    """Round floats, clamped to 0 to 1, to the nearest of 256 levels."""
    return (pixels.clamp(0, 1) * 255).round().to(torch.uint8)


def pick(tensor: Tensor | None, indices: Tensor | slice) -> Tensor | None:
    """Index a tensor. Return None if there is no tensor."""
    return None if tensor is None else tensor[indices]


def require(condition: bool, sentence: str) -> None:
    """Check a condition.

    Raises:
        UserError: the condition is false; `sentence` is the message.
    """
    if not condition:
        raise UserError(sentence)
