"""The background of each image: a plane, fitted to its border."""

import math
from functools import lru_cache

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

UNEVEN = 0.06
"""Backgrounds are uneven if half of the images have more `unevenness` than this."""
ROUNDS = 10
STEADY = 1e-5
"""Rounds end when no number of a plane changes by more; a byte has steps of 4e-3."""
TUKEY = 4.7
"""Residuals beyond this many standard deviations do not count (Tukey's biweight)."""


def border(height: int, width: int) -> Bool[Tensor, "h w"]:
    """Pixels at the border: one in sixteen of the shorter side, at least one."""
    thick = max(1, min(height, width) // 16)
    inside = torch.zeros(height, width, dtype=torch.bool)
    inside[thick : height - thick, thick : width - thick] = True
    return ~inside


def flattened(
    images: Float[Tensor, "n c h w"], level: float, edge: Bool[Tensor, "h w"] | None = None
) -> Float[Tensor, "n c h w"]:
    """Replace the background of each image, a plane, by one level; the result is from 0 to 1.

    Args:
        images: from 0 to 1.
        level: of the background after it, 0 to 1.
        edge: the pixels that show the background; None: those at the border.
    """
    edge = border(*images.shape[-2:]) if edge is None else edge
    plane = fitted_plane(images, edge.to(images.device))
    return (images - plane + level).clamp(0, 1)


def unevenness(
    images: Float[Tensor, "n c h w"], level: float, edge: Bool[Tensor, "h w"] | None = None
) -> list[float]:
    """How far the background of each image surely is from a level, as the mean along its border.

    It is the distance of the fitted plane, less twice the error that the noise of the border gives
    it. So noise and a little content at the border do not count.

    Args:
        images: from 0 to 1.
        level: 0 to 1.
        edge: the pixels that show the background; None: those at the border.
    """
    edge = (border(*images.shape[-2:]) if edge is None else edge).to(images.device)
    plane = fitted_plane(images, edge)[:, :, edge].flatten(1)
    noise = 1.48 * (images[:, :, edge].flatten(1) - plane).abs().median(1).values
    error = noise * math.sqrt(3 / int(edge.sum()))  # of a plane, which has 3 parameters
    return ((plane - level).abs().mean(1) - 2 * error).tolist()


def fitted_plane(
    images: Float[Tensor, "n c h w"], edge: Bool[Tensor, "h w"]
) -> Float[Tensor, "n c h w"]:
    """Fit a plane to the border pixels of each image and channel, by iterated weights.

    It is made in NumPy, on the processor: torch took three times as long there, for one image of 80
    x 80 pixels and for many.

    Args:
        images: from 0 to 1.
        edge: which pixels are at the border.
    """
    n, channels, height, width = images.shape
    terms = plane_terms(height, width)
    where = edge.flatten().nonzero()[:, 0].cpu().numpy()
    known = terms[where]  # (P, 3)
    pairs = (known[:, :, None] * known[:, None]).reshape(-1, 9)
    values = images.cpu().numpy().reshape(n * channels, -1)[:, where]  # (N C, P)
    planes = np.zeros((len(values), 3), np.float32)
    ridge = np.eye(3, dtype=np.float32) * np.float32(1e-4)
    middle = (values.shape[1] - 1) // 2
    rows, weight = np.arange(len(values)), np.ones_like(values)
    for _ in range(ROUNDS):
        squares = (weight @ pairs).reshape(-1, 3, 3) + ridge
        plane = np.linalg.solve(squares, ((weight * values) @ known)[..., None])[..., 0]
        # An image that has its plane waits for no other, so that others do not change its plane.
        moved = np.abs(plane - planes[rows]).max(-1) > STEADY
        planes[rows] = plane
        if not moved.any():
            break
        rows, values, plane = rows[moved], values[moved], plane[moved]
        residual = np.abs(values - plane @ known.T)
        median = np.partition(residual, middle, -1)[:, middle, None]
        spread = np.float32(TUKEY) * (np.float32(1.48) * median + np.float32(2e-3))
        weight = (1 - np.minimum(residual / spread, 1) ** 2) ** 2 + np.float32(1e-6)
    return torch.from_numpy((planes @ terms.T).reshape(n, channels, height, width)).to(images)


@lru_cache(maxsize=8)
def plane_terms(height: int, width: int) -> Float[np.ndarray, "pixels 3"]:
    """What a plane is made of: 1, across and down from -1 to 1, at each pixel, row by row."""
    sides = (np.linspace(-1, 1, side, dtype=np.float32) for side in (height, width))
    down, across = np.meshgrid(*sides, indexing="ij")
    terms = np.stack([np.ones_like(down), across, down], -1).reshape(-1, 3)
    terms.flags.writeable = False
    return terms
