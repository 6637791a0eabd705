"""Parts of other things at the border of an image, which a crop of a crowded picture shows.

What differs from the background falls into connected parts. The thing that an image is about is the
part with the most content near the middle. Another part is of a neighbour if it reaches the border.
Parts that do not, such as the dot of an i, stay.
"""

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from scipy import ndimage
from torch import Tensor

CONTRAST, NOISE = 0.1, 4.0
"""A pixel is content if it differs from the background by this share of the largest difference, and
by this many standard deviations of the noise."""
CENTRE = 0.15
"""Standard deviation of the Gaussian by which content near the middle counts more, image sides."""
TOUCHING = np.ones((3, 3))
"""Pixels that touch each other, at a corner too, are of one part."""
MUCH, MANY = 0.03, 0.25
"""Images are crowded if more than this share of them shows more than this share of other things."""


def isolated(
    image: Float[Tensor, "c h w"], level: float, edge: Bool[Tensor, "h w"] | None = None
) -> Float[Tensor, "c h w"]:
    """Replace parts of other things by the background.

    Args:
        image: from 0 to 1.
        level: of the background, 0 to 1.
        edge: the pixels at the border; None: the outermost ones.
    """
    gone, _ = _others(image, level, edge)
    return torch.where(torch.from_numpy(gone).to(image.device), level, image)


def crowding(
    image: Float[Tensor, "c h w"], level: float, edge: Bool[Tensor, "h w"] | None = None
) -> float:
    """Which share of an image's content is of other things; the arguments are as above."""
    return _others(image, level, edge)[1]


def _others(
    image: Float[Tensor, "c h w"], level: float, edge: Bool[Tensor, "h w"] | None
) -> tuple[Bool[np.ndarray, "h w"], float]:
    """The pixels of other things, with those around them, and their share of the content."""
    several = differences(image[None], level)
    apart, part = several[0], parts_of(content(several)[0])
    height, width = apart.shape
    if part.max() < 2:
        return np.zeros(apart.shape, bool), 0.0
    down, across = np.ogrid[:height, :width]
    square = (down + 0.5 - height / 2) ** 2 + (across + 0.5 - width / 2) ** 2
    central = apart * np.exp(-square / (2 * (CENTRE * max(height, width)) ** 2))
    mass = np.bincount(part.ravel(), apart.ravel())[1:]
    thing = 1 + np.bincount(part.ravel(), central.ravel())[1:].argmax()
    at_border = np.unique(part[outermost(height, width) if edge is None else edge.cpu().numpy()])
    other = np.isin(np.arange(len(mass) + 1), at_border[(at_border > 0) & (at_border != thing)])
    kept = (part > 0) & ~other[part]
    gone = np.asarray(ndimage.binary_dilation(other[part], TOUCHING), bool) & ~kept
    return gone, float(mass[other[1:]].sum() / mass.sum())


def differences(images: Float[Tensor, "n c h w"], level: float) -> Float[np.ndarray, "n h w"]:
    """How far each pixel is from the background, in the channel in which it is furthest."""
    return (images - level).abs().amax(1).cpu().numpy()


def content(apart: Float[np.ndarray, "n h w"]) -> Bool[np.ndarray, "n h w"]:
    """Which pixels show content.

    Args:
        apart: how far each pixel is from the background, see `differences`.
    """
    noise = 1.48 * np.median(apart, (1, 2))  # most pixels show the background
    least = np.maximum(CONTRAST * apart.max((1, 2)), NOISE * noise)
    return apart > least[:, None, None]


def parts_of(content: Bool[np.ndarray, "h w"]) -> Int[np.ndarray, "h w"]:
    """The number of the connected part that each pixel is of, from 1; 0 where there is none."""
    part = np.zeros(content.shape, np.int32)
    ndimage.label(content, TOUCHING, output=part)
    return part


def outermost(height: int, width: int) -> Bool[np.ndarray, "h w"]:
    """The pixels at the border."""
    ring = np.ones((height, width), bool)
    ring[1:-1, 1:-1] = False
    return ring
