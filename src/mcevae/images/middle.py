"""The middle of an image, for crops into which other things reach from all sides.

There, the thing in the middle touches its neighbours, so that `images.isolation` cannot tell them
apart. A soft circular mask leaves what is near the middle, as 2-D classification of particles does
(Scheres, "RELION: implementation of a Bayesian approach to cryo-EM structure determination", 2012).
"""

import math

import numpy as np
import torch
from jaxtyping import Bool, Float
from scipy import ndimage
from torch import Tensor

from mcevae.images.background import border

RADIUS, EDGE = 0.36, 0.1
"""Radius of the mask where it is one half, and width of its soft edge, in shorter sides."""
INNER = 0.25
"""Radius of what surely is of the thing in the middle, in shorter sides."""
BLUR = 1 / 16
"""Standard deviation of the Gaussian that takes noise away before content is measured, sides."""
FULL = 0.5
"""Images are full if half of them have more `fullness` than this."""


def radius_of(height: int, width: int) -> Float[Tensor, "h w"]:
    """How far each pixel is from the middle, in shorter sides."""
    down = torch.arange(height) + 0.5 - height / 2
    across = torch.arange(width) + 0.5 - width / 2
    return torch.hypot(down[:, None], across[None]) / min(height, width)


def middle_alone(image: Float[Tensor, "c h w"], level: float) -> Float[Tensor, "c h w"]:
    """Replace what is far from the middle by the background, with a soft edge.

    Args:
        image: from 0 to 1.
        level: of the background, 0 to 1.
    """
    outside = (radius_of(*image.shape[-2:]) - RADIUS) / EDGE + 0.5
    weight = 0.5 + 0.5 * torch.cos(math.pi * outside.clamp(0, 1))
    return level + weight.to(image) * (image - level)


def fullness(
    image: Float[Tensor, "c h w"], level: float, edge: Bool[Tensor, "h w"] | None = None
) -> float:
    """How strong the content along the border is, as a share of that near the middle.

    The image is blurred before, and what noise still adds is taken off, as a root mean square.

    Args:
        image: from 0 to 1.
        level: of the background, 0 to 1.
        edge: the pixels that show the background; None: those at the border.

    Returns:
        0 or more; 0 as well if nothing but noise is near the middle.
    """
    height, width = image.shape[-2:]
    along = (border(height, width) if edge is None else edge.cpu()).numpy()
    inner = (radius_of(height, width) < INNER).numpy()
    apart, blur = (image - level).cpu().numpy(), BLUR * min(height, width)
    # Differences of neighbours have twice the variance of the noise, and content adds little.
    noise = np.median(np.abs(np.diff(apart, axis=-1))) / (0.6745 * math.sqrt(2))
    ones = np.ones((height, width))
    weight = ndimage.gaussian_filter(ones, blur, mode="constant")
    # A squared Gaussian is a narrower one, so this is the variance of blurred noise.
    left = ndimage.gaussian_filter(ones, blur / math.sqrt(2), mode="constant")
    left *= noise**2 / max(1.0, 4 * math.pi * blur**2)
    blurred = ndimage.gaussian_filter(apart, (0, blur, blur), mode="constant")
    power = (np.square(blurred).mean(0) - left) / weight**2
    middle = power[inner].mean()
    return float(np.sqrt(max(power[along].mean(), 0) / middle)) if middle > left.max() else 0.0
