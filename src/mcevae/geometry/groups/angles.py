"""Wrap angles around the circle, and tell which angles lie in a support."""

import math

import torch
from jaxtyping import Bool, Float
from torch import Tensor


def wrapped(angle: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch"]:
    """Return the same angles within [-pi, pi)."""
    return torch.remainder(angle + math.pi, 2 * math.pi) - math.pi


WHOLE_CIRCLE = math.radians(170)
"""If rotations reach further than this in each direction, no angle is the middle of them."""


def within(
    angle: Float[Tensor, "*batch"], half_width: float, step: float
) -> Bool[Tensor, "*batch"]:
    """Tell which angles of a grid lie in a support, within half a step of the grid.

    Args:
        angle: angles in radians.
        half_width: half-width of the support, in radians.
        step: distance between two angles of the grid, in radians.
    """
    if half_width > WHOLE_CIRCLE:
        return torch.ones_like(angle, dtype=torch.bool)
    return angle.abs() <= half_width + step / 2 + 1e-4  # the same on both sides, rounded or not
