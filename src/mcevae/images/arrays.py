"""Images in memory, and people's own files: checked, and brought to one form.

Pixels are kept as uint8, (N, C, H, W), 0 to 255. Labels are only ever used for scoring.
"""

from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Float32, Int64, UInt8
from torch import Tensor

from mcevae.base.errors import UserError
from mcevae.images.readers.frames import Fault

MIN_SIDE, MAX_SIDE = 16, 256  # what the networks are built for


@dataclass(frozen=True, kw_only=True)
class Images:
    """Images of one shape, with labels where they are known."""

    name: str
    pixels: UInt8[Tensor, "n c h w"]
    labels: Int64[Tensor, " n"] | None = None
    """For scoring only; no model sees them."""
    label_names: tuple[str, ...] | None = None
    """What label 0, 1, ... is called."""
    names: np.ndarray | None = None
    """(n,) what each image is called, where they come from files."""

    def __len__(self) -> int:
        """Count the images."""
        return len(self.pixels)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height and width of every image."""
        _, channels, height, width = self.pixels.shape
        return channels, height, width

    def subset(self, indices: Tensor | slice) -> "Images":
        """Keep the images that `indices` picks, in that order."""
        positions = indices if isinstance(indices, slice) else indices.numpy()
        return replace(
            self,
            pixels=self.pixels[indices],
            labels=pick(self.labels, indices),
            names=None if self.names is None else self.names[positions],
        )


@dataclass(frozen=True, kw_only=True)
class ImageSet:
    """Images as published or saved; `test` is None where no part was set aside for testing."""

    train: Images
    test: Images | None = None
    faults: tuple[Fault, ...] = ()
    """What could not be used, of files."""


def shrink(images: Float[Tensor, "n c h w"], longest: int = 28) -> Float32[Tensor, "n c h2 w2"]:
    """Images of at most `longest` pixels a side, as float32; finer detail tells little of a pose.

    Those that are small enough are kept as they are.
    """
    height, width = images.shape[-2:]
    ratio = longest / max(height, width)
    if ratio >= 1:
        return images.float()
    small = (max(2, round(height * ratio)), max(2, round(width * ratio)))
    return F.interpolate(images.float(), size=small, mode="bilinear", antialias=True)


def to_float(pixels: UInt8[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """Scale bytes to floats from 0 to 1."""
    return pixels.float() / 255


def to_bytes(pixels: Float[Tensor, "*shape"]) -> UInt8[Tensor, "*shape"]:
    """Round floats, clamped to 0 to 1, to the nearest of 256 levels."""
    return (pixels.clamp(0, 1) * 255).round().to(torch.uint8)


def pick(tensor: Tensor | None, indices: Tensor | slice) -> Tensor | None:
    """Index a tensor that may be missing."""
    return None if tensor is None else tensor[indices]


def require(condition: bool, sentence: str) -> None:
    """Raise UserError with the sentence unless the condition holds."""
    if not condition:
        raise UserError(sentence)
