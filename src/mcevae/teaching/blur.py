"""Blurred images."""

import math
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

MODES = {"nearest": "replicate", "zero": "constant"}


def gaussian_blur(
    images: Float[Tensor, "n c h w"],
    deviation: float,
    *,
    outside: Literal["nearest", "zero"] = "nearest",
) -> Float[Tensor, "n c h w"]:
    """Blur images with a Gaussian.

    Args:
        images: of any channels; each is blurred alone.
        deviation: standard deviation in pixels; 0 for none.
        outside: what lies outside the frame: the nearest pixel inside, or zero.
    """
    if deviation <= 0:
        return images
    radius = math.ceil(4 * deviation)
    offset = torch.arange(-radius, radius + 1, device=images.device) / deviation
    kernel = torch.softmax(-offset.square() / 2, dim=0)
    single = images.flatten(0, 1)[:, None]  # each channel alone
    padded = F.pad(single, (radius,) * 4, mode=MODES[outside])
    across = F.conv2d(padded, kernel[None, None, None, :])
    return F.conv2d(across, kernel[None, None, :, None]).reshape(images.shape)
