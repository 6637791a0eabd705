"""The mask of a model's images, and that of its canonical images."""

import torch
from jaxtyping import Float
from torch import Tensor

from mcevae.base.config import DataConfig
from mcevae.geometry.groups import MatrixGroup, reflect
from mcevae.geometry.warp import warp
from mcevae.images.recipe import form_of_mask

TURNS = 72
"""Rotations of the support that are looked at."""


def masks_of(
    settings: DataConfig, shape: tuple[int, int], group: MatrixGroup, half_width: float
) -> tuple[Float[Tensor, "1 H W"] | None, Float[Tensor, "1 H W"] | None]:
    """Which share of each pixel counts in images, and in canonical images; None: all count.

    A pixel of a canonical image counts if a rotation of the support, or its mirror image, brings it
    to a pixel that counts. For a circle both are the same.

    Args:
        settings: of a run.
        shape: (H, W) of the images.
        group: of the poses.
        half_width: of the rotations in the support, radians.
    """
    share = form_of_mask(settings, shape)
    if share is None or not group.polar:
        return share, None
    angles = torch.linspace(-half_width, half_width, TURNS)
    turns = torch.eye(3).repeat(TURNS, 1, 1)
    turns[:, 0, 0] = turns[:, 1, 1] = angles.cos()
    turns[:, 1, 0] = angles.sin()
    turns[:, 0, 1] = -angles.sin()
    back = turns.mT
    if group.mirrors:
        back = torch.cat([back, reflect(back, torch.ones(TURNS, dtype=torch.bool))])
    reached = warp(share[None], back).amax(0)
    return share, torch.maximum(share, reached)
