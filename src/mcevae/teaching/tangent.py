"""The tangent distance between images on rings: what small changes cannot explain.

It ignores small changes of pose and of stroke, so that the neighbours of an image share its content
(Simard, LeCun, Denker, "Efficient pattern recognition using a new transformation distance", 1993).
"""

import math
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from mcevae.teaching.rings import Track, Turn, most_alike, turned_back, turns

Distance = Literal["tangent", "euclidean"]
"""Of images once they are aligned."""

RIDGE = 0.02
"""Penalty on large changes, as a share of the mean squared effect of each change."""
CANDIDATES, VOTERS = 20, 5
"""Of so many most alike exemplars, so many nearest ones vote for the cluster of an image."""
CHUNK_NUMBERS = 2**24
"""Floats for one chunk of images, 64 MiB."""


def changes(
    rings: Float[Tensor, "n c rings angles"],
) -> Float[Tensor, "n numbers 7"]:
    """Effects of small changes on each image: shifts, rotation, scale, two shears and thickness.

    Signs and units do not matter, because the penalty is relative. Thickness is the squared
    gradient (Simard, LeCun, Denker, Victorri, "Transformation invariance in pattern recognition",
    1998).
    """
    count, angles = rings.shape[-2:]
    radius = ((torch.arange(count, device=rings.device) + 0.5) / count)[:, None]
    angle = torch.arange(angles, device=rings.device) * (2 * math.pi / angles)
    cos, sin = angle.cos(), angle.sin()
    values = rings / radius.sqrt()
    # Inside the first ring lies the other side of it; outside the last one lies background.
    inner = values[:, :, :1].roll(angles // 2, -1)
    wide = torch.cat([inner, values, torch.zeros_like(inner)], 2)
    by_radius = (wide[:, :, 2:] - wide[:, :, :-2]) * (count / 2)
    by_angle = (values.roll(-1, -1) - values.roll(1, -1)) * (angles / (4 * math.pi))
    dx, dy = (
        cos * by_radius - sin * by_angle / radius,
        sin * by_radius + cos * by_angle / radius,
    )
    x, y = radius * cos, radius * sin
    effects = [
        *(dx, dy, by_angle, radius * by_radius, x * dx - y * dy, y * dx + x * dy),
        dx.square() + dy.square(),
    ]
    return torch.stack([(effect * radius.sqrt()).flatten(1) for effect in effects], -1)


def nearest_of(
    rings: Float[Tensor, "n c rings angles"],
    candidates: Int[Tensor, "n m"],
    count: int,
    *,
    reach: float = math.pi,
    mirror: bool = False,
    by: Distance = "tangent",
    among: Float[Tensor, "others c rings angles"] | None = None,
    penalty: Float[Tensor, "7 7"] | None = None,
) -> tuple[Int[Tensor, "n count"], Float[Tensor, "n count"], Turn]:
    """Find the nearest of each image's candidates, once they are aligned.

    The squared tangent distance from x to y is min_a |y - x - T a|^2 + sum_i l_i a_i^2. The
    columns of T are the `changes` of x. It is not symmetric.

    Args:
        rings: images on rings, of norm one.
        candidates: indices of other images for each image.
        count: number of neighbours, at most M.
        reach: how far two images may be turned from each other, radians.
        mirror: whether mirror images are tried too.
        by: tangent, or the plain Euclidean distance.
        among: the images that candidates are indices of; None: `rings`.
        penalty: the penalties l_i, see `penalty_of`; None: those of `rings`.

    Returns:
        Indices, distances (at least 0), and how each image is turned onto its neighbours, row by
        row (N count,). The nearest come first.
    """
    n, m = candidates.shape
    numbers = rings[0].numel()
    known = rings if among is None else among
    penalty = penalty_of(rings) if penalty is None else penalty
    parts = []
    for rows in torch.arange(n).split(max(1, CHUNK_NUMBERS // (4 * m * numbers))):
        own, others = rings[rows], known[candidates[rows].flatten()]
        turn = turns(own.repeat_interleave(m, 0), others, reach, mirror)
        aligned = turned_back(others, turn.angle, turn.mirrored).view(len(rows), m, -1)
        apart = aligned - own.flatten(1)[:, None]
        square = apart.square().sum(-1)
        if by == "tangent":
            effects = changes(own)
            along = (apart @ effects).mT  # (B, 7, M)
            factor = torch.linalg.cholesky(effects.mT @ effects + penalty)
            square = square - (along * torch.cholesky_solve(along, factor)).sum(1)
        distance = square.clamp_min(0).sqrt()
        parts.append((distance, turn.likeness, turn.angle, turn.mirrored))
    distance, *turn = (torch.cat(part).view(n, m) for part in zip(*parts, strict=True))
    distance, order = distance.sort(dim=1, stable=True)
    order = order[:, :count]
    likeness, angle, mirrored = (each.gather(1, order).flatten() for each in turn)
    return (
        candidates.gather(1, order),
        distance[:, :count].contiguous(),
        Turn(likeness=likeness, angle=angle, mirrored=mirrored),
    )


def voters_of(
    rings: Float[Tensor, "n c rings angles"],
    exemplars: Float[Tensor, "m c rings angles"],
    *,
    penalty: Float[Tensor, "7 7"],
    reach: float,
    mirror: bool,
    by: Distance = "tangent",
    track: Track = iter,
) -> tuple[Int[Tensor, "n count"], Float[Tensor, "n count"], Turn]:
    """Find the exemplars that vote for the cluster of each image, the nearest first.

    Args:
        rings: images on rings, of norm one.
        exemplars: others, whose clusters are known.
        penalty, reach, mirror, by: as `nearest_of` has them.
        track: wraps the list of parts, to show progress.

    Returns:
        As `nearest_of`, of `VOTERS` exemplars, or of all if there are fewer.
    """
    count = min(CANDIDATES, len(exemplars))
    alike = most_alike(rings, count, among=exemplars, reach=reach, mirror=mirror, track=track)
    return nearest_of(
        rings,
        alike,
        min(VOTERS, count),
        reach=reach,
        mirror=mirror,
        by=by,
        among=exemplars,
        penalty=penalty,
    )


def penalty_of(rings: Float[Tensor, "n c rings angles"]) -> Float[Tensor, "7 7"]:
    """The penalties l_i on changes of such images, as a diagonal matrix."""
    effect = torch.stack([changes(some).square().sum((0, 1)) for some in rings.split(500)]).sum(0)
    return torch.diag((RIDGE * effect / len(rings)).clamp_min(1e-8))  # blank images do not change
