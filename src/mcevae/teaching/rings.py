"""Images on rings about their middle, where a rotation is a step along the angle.

The best rotation between two images, and between an image and the mirror image of another, comes
from one product of their Fourier transforms for each frequency. So all pairs of images can be
compared at all angles, without moving any image.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

from mcevae.geometry.warp import side
from mcevae.teaching.blur import gaussian_blur

RINGS, ANGLES = 12, 32
BLUR = 0.9 / 28
"""Standard deviation of the blur, in diameters of the outermost ring."""
ENERGY = 0.995
"""All pairs are compared by the lowest frequencies of the angle that hold this share of what the
images show. The candidates that this gives are then compared by all frequencies."""
ROWS, COLUMNS = 64, 1024
"""Pairs of images that are compared at a time; they fit into a processor's cache."""

Track = Callable[[Sequence[Any]], Iterable[Any]]


@dataclass(frozen=True, kw_only=True)
class Turn:
    """How one image is turned onto another.

    Image j is R(angle) F^mirrored of image i, about the middles of both. F is the mirror image,
    left for right.

    Attributes:
        likeness: correlation of the two, at most 1.
        angle: radians.
        mirrored: whether the mirror image of i is turned onto j.
    """

    likeness: Float[Tensor, " pairs"]
    angle: Float[Tensor, " pairs"]
    mirrored: Bool[Tensor, " pairs"]


def polar(
    images: Float[Tensor, "n c h w"],
    middle: Float[Tensor, "n 2"],
    scale: Float[Tensor, " n"],
    rings: int = RINGS,
    angles: int = ANGLES,
) -> Float[Tensor, "n c {rings} {angles}"]:
    """Sample images on rings about their middles, 0 outside the frame.

    Rings are weighted by the root of their radius, so that each part of the image counts by its
    area.

    Args:
        images: differences of images from their background.
        middle: in image sides from the centre, x right and y down.
        scale: 1 if the outermost ring has a diameter of one image side.
        rings, angles: number of rings, and of places on each of them.
    """
    height, width = images.shape[-2:]
    radius = (torch.arange(rings, device=middle.device) + 0.5) / rings / 2  # image sides
    angle = torch.arange(angles, device=middle.device) * (2 * math.pi / angles)
    ring = torch.stack([radius[:, None] * angle.cos(), radius[:, None] * angle.sin()], -1)
    to_grid = 2 * side(height, width) / middle.new_tensor([width, height])
    grid = (ring * scale[:, None, None, None] + middle[:, None, None]) * to_grid
    return F.grid_sample(images, grid, align_corners=False) * (2 * radius).sqrt()[:, None]


def on_rings(
    differences: Float[Tensor, "n c h w"],
    middle: Float[Tensor, "n 2"],
    scale: Float[Tensor, " n"],
    extent: float = 1.0,
) -> Float[Tensor, "n c rings angles"]:
    """Blur images, and sample them as `polar` does. Each has norm one; a blank one has zero.

    Args:
        differences: differences of images from their background.
        middle, scale: as `polar` has them.
        extent: diameter of the outermost ring of an image of scale 1, in image sides.
    """
    smooth = gaussian_blur(differences, BLUR * extent * side(*differences.shape[-2:]))
    rings = polar(smooth, middle, scale * extent)
    norm = torch.linalg.vector_norm(rings.flatten(1), dim=1)
    return rings / norm.clamp_min(1e-6)[:, None, None, None]


def turned(
    rings: Float[Tensor, "n c rings angles"],
    angle: Float[Tensor, " n"],
    mirrored: Bool[Tensor, " n"],
) -> Float[Tensor, "n c rings angles"]:
    """Return R(angle) F^mirrored of each image, by linear interpolation along the angle."""
    count = rings.shape[-1]
    step = (angle * (count / (2 * math.pi)))[:, None]
    base = torch.arange(count, device=rings.device)
    # What stands at an angle was at this place before the turn; F takes an angle to pi less it.
    place = torch.where(mirrored[:, None], count / 2 - (base - step), base - step)
    low = place.floor()
    share = (place - low)[:, None]
    flat = rings.flatten(1, 2)
    before, after = (
        flat.gather(2, (low.long() + more).remainder(count)[:, None].expand_as(flat))
        for more in (0, 1)
    )
    return ((1 - share) * before + share * after).view_as(rings)


def undone(angle: Float[Tensor, "*n"], mirrored: Bool[Tensor, "*n"]) -> Float[Tensor, "*n"]:
    """Angles of the inverses of R(angle) F^mirrored: R(a) F is its own inverse."""
    return torch.where(mirrored, angle, -angle)


def turned_back(
    rings: Float[Tensor, "n c rings angles"],
    angle: Float[Tensor, " n"],
    mirrored: Bool[Tensor, " n"],
) -> Float[Tensor, "n c rings angles"]:
    """Undo R(angle) F^mirrored of each image."""
    return turned(rings, undone(angle, mirrored), mirrored)


def allowed(reach: float, angles: int = ANGLES) -> Int[Tensor, " some"]:
    """Steps along the angle by which two images may be turned, if they lie at most `reach` apart.

    Args:
        reach: radians.
        angles: number of steps of the whole circle.
    """
    step = torch.arange(angles)
    apart = torch.minimum(step, angles - step) * (2 * math.pi / angles)
    return step[apart <= reach + 1e-4]


def turns(
    first: Float[Tensor, "pairs c rings angles"],
    second: Float[Tensor, "pairs c rings angles"],
    reach: float,
    mirror: bool,
) -> Turn:
    """Find the best turn of each first image onto its second one, between the steps of the angle.

    Args:
        first, second: images on rings.
        reach: how far two images may be turned from each other, radians.
        mirror: whether mirror images are tried too.
    """
    a, b = (torch.fft.rfft(each.flatten(1, 2), dim=2) for each in (first, second))
    ok = torch.zeros(ANGLES, dtype=torch.bool, device=first.device)
    ok[allowed(reach).to(first.device)] = True
    tried = []
    for flipped in (False, True)[: 1 + mirror]:
        product = ((_mirrored(a) if flipped else a).conj() * b).sum(1)
        likeness = torch.fft.irfft(product, n=ANGLES, dim=1).masked_fill(~ok, -math.inf)
        best, step = likeness.max(1)
        left, right = (
            likeness.gather(1, (step + move).remainder(ANGLES)[:, None])[:, 0] for move in (-1, 1)
        )
        curve = left - 2 * best + right  # of the parabola through three points
        offset = ((left - right) / (2 * curve).clamp(max=-1e-9)).clamp(-0.5, 0.5)
        offset = torch.where(curve.isfinite(), offset, 0.0)
        tried.append((best, (step + offset) * (2 * math.pi / ANGLES)))
    (best, angle), mirrored = tried[0], torch.zeros_like(ok[:1]).expand(len(a))
    if mirror:
        mirrored = tried[1][0] > best
        best = torch.where(mirrored, tried[1][0], best)
        angle = torch.where(mirrored, tried[1][1], angle)
    return Turn(likeness=best, angle=angle, mirrored=mirrored)


def _mirrored(spectrum: Tensor) -> Tensor:
    """Fourier transforms (..., frequencies) of the mirror images."""
    sign = 1 - 2 * (torch.arange(spectrum.shape[-1], device=spectrum.device) % 2)
    return spectrum.conj() * sign


def most_alike(
    rings: Float[Tensor, "n c rings angles"],
    count: int,
    *,
    among: Float[Tensor, "m c rings angles"] | None = None,
    reach: float = math.pi,
    mirror: bool = False,
    track: Track = iter,
) -> Int[Tensor, "n count"]:
    """Find the images that are most alike to each image in the best turn, the most alike first.

    All pairs are compared, by their lower frequencies (`ENERGY`). The cost is that of a few small
    matrix products for each pair.

    Args:
        rings: images on rings, of norm one.
        count: number of images to find for each, at most M, or N - 1.
        among: the images that are found; None: the others of `rings`.
        reach: how far two images may be turned from each other, radians.
        mirror: whether mirror images are tried too.
        track: wraps the list of parts, to show progress.
    """
    device = rings.device
    spectrum, others = (
        torch.fft.rfft(each.flatten(1, 2), dim=2).permute(2, 0, 1)  # (F, N, D)
        for each in (rings, rings if among is None else among)
    )
    m = others.shape[1]
    weight = spectrum.real.new_full((len(spectrum),), 2.0)
    weight[0] = weight[-1] = 1.0  # those of a real signal of even length
    energy = (others.abs().square().sum((1, 2)) * weight).cumsum(0)
    frequencies = int((energy < ENERGY * energy[-1]).sum()) + 1
    spectrum, others, weight = (each[:frequencies] for each in (spectrum, others, weight))
    steps = allowed(reach).to(device)
    phase = torch.arange(frequencies, device=device) * steps[:, None] * (2 * math.pi / ANGLES)
    wave = torch.cat([phase.cos() * weight, -phase.sin() * weight], 1) / ANGLES
    every = torch.cat([others.real, others.imag], 2).mT.contiguous()  # (F, 2 D, N)
    nearest = []
    for start in track(range(0, len(rings), ROWS)):
        own = spectrum[:, start : start + ROWS]
        best = rings.new_full((own.shape[1], m), -math.inf)
        for flipped in (False, True)[: 1 + mirror]:
            left = _mirrored(own.movedim(0, -1)).movedim(-1, 0) if flipped else own
            real, imaginary = left.real, left.imag
            pair = torch.cat([torch.cat([real, imaginary], 2), torch.cat([-imaginary, real], 2)], 1)
            for begin in range(0, m, COLUMNS):
                block = every[:, :, begin : begin + COLUMNS]
                product = (pair @ block).unflatten(1, (2, -1)).transpose(0, 1)
                likeness = (wave @ product.reshape(2 * frequencies, -1)).amax(0)
                part = best[:, begin : begin + COLUMNS]
                torch.maximum(part, likeness.view_as(part), out=part)
        if among is None:
            best.diagonal(start).fill_(-math.inf)  # not its own
        nearest.append(best.topk(count, 1).indices)
    return torch.cat(nearest)
