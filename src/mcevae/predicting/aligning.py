"""Find how one average is turned, shifted and mirrored against another of the same thing.

Groups that people merge may show one thing in two canonical frames.
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from mcevae.geometry.groups import get_group, reflect, wrapped
from mcevae.geometry.warp import side, warp
from mcevae.images.arrays import shrink
from mcevae.images.background import border

STAGES = ((32, math.radians(6)), (128, math.radians(1.5)), (512, math.radians(0.25)))
"""Longest side in pixels, and step of the angle, of each search. The first tries all angles, the
others those around the best of the search before."""
FARTHEST = 0.25
"""Largest shift, image sides."""


def aligned(
    fixed: Float[Tensor, "c h w"],
    loose: Float[Tensor, "c h w"],
    *,
    reach: float = math.pi,
    mirror: bool = False,
) -> Float[Tensor, "3 3"]:
    """Find the element that moves one picture onto another so that they correlate best.

    Args:
        fixed: a picture.
        loose: the picture that is moved.
        reach: largest angle, radians, 0 to pi.
        mirror: whether a mirror image is tried too.
    """
    angles = torch.arange(-reach, reach + 1e-6, STAGES[0][1]) if reach > 0 else torch.zeros(1)
    signs = torch.tensor([False, True] if mirror else [False])
    best, angle = torch.eye(3), torch.zeros(())
    for i, (longest, step) in enumerate(STAGES):
        if i and reach > 0:
            around = STAGES[i - 1][1]
            angles = angle + torch.arange(-around, around + 1e-6, step)
        tried = angles.repeat(len(signs)), signs.repeat_interleave(len(angles))
        elements = turned_by(*tried)
        still, free = (centred(shrink(one[None], longest)) for one in (fixed, loose))
        at, shift = best_of(still, warp(free, elements))
        angle, angles, signs = tried[0][at], tried[0][at : at + 1], tried[1][at : at + 1]
        best = elements[at].clone()
        best[:2, 2] = shift
    return best


def turned_by(angle: Float[Tensor, " n"], sign: Tensor) -> Float[Tensor, "n 3 3"]:
    """Rotations by angles, after a mirror image where the sign says so."""
    return reflect(get_group("so2").exp(wrapped(angle)[:, None]), sign)


def centred(pictures: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c h w"]:
    """Differences from the median of the border, inside the disc that all turns keep."""
    height, width = pictures.shape[-2:]
    level = pictures[:, :, border(height, width)].median(-1).values
    down, across = (torch.arange(n) - (n - 1) / 2 for n in (height, width))
    disc = torch.hypot(down[:, None], across) <= min(height, width) / 2
    return (pictures - level[..., None, None]) * disc


def best_of(
    fixed: Float[Tensor, "1 c h w"], moved: Float[Tensor, "n c h w"]
) -> tuple[int, Float[Tensor, " 2"]]:
    """Which picture correlates best with a fixed one at its best shift, and that shift (sides)."""
    height, width = fixed.shape[-2:]
    sizes = [2 * height, 2 * width]  # what is shifted out does not come in on the other side
    spectrum = torch.fft.rfft2(fixed, sizes) * torch.fft.rfft2(moved, sizes).conj()
    likeness = torch.fft.irfft2(spectrum.sum(1), sizes)  # (n, 2 H, 2 W), by shift
    norm = torch.linalg.vector_norm(moved.flatten(1), dim=1).clamp_min(1e-9)
    likeness = likeness / norm[:, None, None]
    down, across = (torch.fft.fftfreq(n, 1 / n) / side(height, width) for n in sizes)
    far = torch.maximum(down.abs()[:, None], across.abs()) > FARTHEST
    likeness = likeness.masked_fill(far, -torch.inf)
    i, y, x = torch.unravel_index(likeness.argmax(), likeness.shape)
    return int(i), torch.stack([across[x], down[y]])
