"""Angles on the circle, and which of them lie in a support."""

import math

import torch
from jaxtyping import Bool, Float
from torch import Tensor


def wrapped(angle: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch"]:
    """The same angles within [-pi, pi)."""
    return torch.remainder(angle + math.pi, 2 * math.pi) - math.pi


WHOLE_CIRCLE = math.radians(170)
"""A support of rotations wider than this either way has no middle to be found."""


def within(
    angle: Float[Tensor, "*batch"], half_width: float, step: float
) -> Bool[Tensor, "*batch"]:
    """Which angles of a grid lie in a support; each stands for half a step either way."""
    if half_width > WHOLE_CIRCLE:
        return torch.ones_like(angle, dtype=torch.bool)
    return angle.abs() <= half_width + step / 2 + 1e-4  # the same on both sides, rounded or not
