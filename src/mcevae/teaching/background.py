"""What images show, apart from their background."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

NEAR = 0.06
"""A border pixel agrees with a background if it is within this of it. Images run from 0 to 1."""
AGREED = 0.6
"""The background of all images is one constant if this share of an image's border agrees with it,
for half of the images."""
ROUNDS = 10
TUKEY = 4.7
"""Residuals beyond this many standard deviations do not count (Tukey's biweight)."""


def border(height: int, width: int) -> Bool[Tensor, "h w"]:
    """Pixels at the border: one in sixteen of the shorter side, at least one."""
    thick = max(1, min(height, width) // 16)
    inside = torch.zeros(height, width, dtype=torch.bool)
    inside[thick : height - thick, thick : width - thick] = True
    return ~inside


def foreground(images: Float[Tensor, "n c h w"], level: float) -> Float[Tensor, "n c h w"]:
    """Return how images differ from their background.

    The background is `level`, if the borders of the images agree with it. If they do not, it is a
    plane fitted to the border of each image and channel. Content that reaches the border counts
    little in the fit.

    Args:
        images: (N, C, H, W), from 0 to 1.
        level: the background of all images, from 0 to 1, if they have one.
    """
    edge = border(*images.shape[-2:]).to(images.device)
    agreed = ((images[:, :, edge] - level).abs() < NEAR).float().mean((1, 2))
    if agreed.median() >= AGREED:
        return images - level
    return images - fitted_plane(images, edge)


def fitted_plane(
    images: Float[Tensor, "n c h w"], edge: Bool[Tensor, "h w"]
) -> Float[Tensor, "n c h w"]:
    """Fit a plane to the border pixels of each image and channel, by iterated weights.

    Args:
        images: from 0 to 1.
        edge: which pixels are at the border.
    """
    n, channels, height, width = images.shape
    down, across = torch.meshgrid(
        torch.linspace(-1, 1, height, device=images.device),
        torch.linspace(-1, 1, width, device=images.device),
        indexing="ij",
    )
    terms = torch.stack([torch.ones_like(down), across, down], -1)  # (H, W, 3)
    known = terms[edge]  # (P, 3)
    values = images[:, :, edge].flatten(0, 1)  # (N C, P)
    ridge = 1e-4 * torch.eye(3, device=images.device)
    weight, plane = torch.ones_like(values), values.new_zeros(len(values), 3)
    for _ in range(ROUNDS):
        weighted = known * weight[..., None]
        moments = (weighted.mT @ values[..., None])[..., 0]
        plane = torch.linalg.solve(weighted.mT @ known + ridge, moments)  # (N C, 3)
        residual = (values - plane @ known.T).abs()
        spread = 1.48 * residual.median(-1, keepdim=True).values + 2e-3
        weight = (1 - (residual / (TUKEY * spread)).clamp(max=1) ** 2) ** 2 + 1e-6
    return (plane @ terms.flatten(0, 1).T).view(n, channels, height, width)
