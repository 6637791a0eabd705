"""Background and noise of a frame."""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from mcevae.finding.settings import Background

ROUNDS = 5
GRAINS = 42
"""A background is sought in means of squares; so many are as long as a slow one varies."""
TUKEY = 2.5
"""Squares farther from the background than this many standard deviations do not count."""


def background_of(
    frame: Float[Tensor, "C H W"], kind: Background, scale: int
) -> Float[Tensor, "C H W"]:
    """The background of a frame, from which things stand out.

    Args:
        frame: intensities.
        kind: constant; plane: it falls off evenly; slow: it varies over `scale` pixels or more.
        scale: of "slow", pixels.
    """
    grain, (height, width) = max(1, scale // GRAINS), frame.shape[1:]
    pad = (0, -width % grain, 0, -height % grain)
    known = F.avg_pool2d(F.pad(frame, pad, mode="replicate"), grain)
    made = known.flatten(1).median(1).values[:, None, None].expand_as(known)
    if kind != "constant":
        for turn in range(2 * ROUNDS):
            apart = known - made
            spread = 1.48 * apart.abs().flatten(1).median(1).values[:, None, None] + 1e-6
            weight = (apart.abs() < TUKEY * spread).float()
            if turn < ROUNDS:
                made = plane(known, weight)
            elif kind == "slow":
                # what it has not followed yet
                made = made + smooth(known - made, weight, scale // grain)
    size = [n * grain for n in known.shape[1:]]
    return F.interpolate(made[None], size=size, mode="bilinear")[0, :, :height, :width]


def plane(frame: Float[Tensor, "C H W"], weight: Float[Tensor, "C H W"]) -> Float[Tensor, "C H W"]:
    """The plane through a frame by weighted least squares."""
    height, width = frame.shape[1:]
    down, across = torch.meshgrid(
        torch.linspace(-1, 1, height), torch.linspace(-1, 1, width), indexing="ij"
    )
    terms = torch.stack([torch.ones_like(down), across, down], -1).flatten(0, 1)
    w = weight.flatten(1)[..., None]
    left = (w * terms).mT @ terms + 1e-6 * torch.eye(3)
    right = (w * terms).mT @ frame.flatten(1)[..., None]
    return (terms @ torch.linalg.solve(left, right))[..., 0].view_as(frame)


def smooth(
    frame: Float[Tensor, "C H W"],
    weight: Float[Tensor, "C H W"],
    scale: int,
) -> Float[Tensor, "C H W"]:
    """The weighted mean of a frame around each pixel, on a coarse grid between which it is even."""
    cell = max(1, scale // 4)
    height, width = frame.shape[1:]
    pad = (0, -width % cell, 0, -height % cell)
    sums = F.avg_pool2d(F.pad(torch.stack([weight, weight * frame]), pad), cell)
    for _ in range(3):  # three boxes are nearly a Gaussian
        sums = F.avg_pool2d(F.pad(sums, (2, 2, 2, 2), mode="replicate"), 5, 1)
    mean = sums[1] / sums[0].clamp_min(1e-3)
    size = (frame.shape[1] + pad[3], frame.shape[2] + pad[1])
    return F.interpolate(mean[None], size=size, mode="bilinear")[0, :, :height, :width]


def noise_of(frame: Float[Tensor, "C H W"]) -> float:
    """Variance of the noise of a pixel, from differences of neighbours, most of which are noise."""
    apart = (frame[:, :, 1:] - frame[:, :, :-1]).abs().flatten()
    kept = apart[:: max(1, len(apart) // 10**6)]
    return (1.4826 * kept.median().item()) ** 2 / 2
