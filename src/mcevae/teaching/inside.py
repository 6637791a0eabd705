"""Images that cannot be in their cluster, because they would be turned further than the support.

Things that look alike upside down, such as 6 and 9, are neighbours if the support lets two images
be turned by half a turn from each other. So some images get into the cluster of the other kind.
In its frame they stand upside down, outside the support. There they are told apart.
"""

import math
from dataclasses import replace

from jaxtyping import Bool, Float, Int
from torch import Tensor

from mcevae.geometry.groups import WHOLE_CIRCLE, wrapped
from mcevae.images.arrays import Hints
from mcevae.teaching.rings import Track, turned_back, undone
from mcevae.teaching.tangent import Distance, penalty_of, voters_of
from mcevae.teaching.upright import Oriented

TOLERANCE = math.radians(30)
"""An image is outside if it is turned by this much more than the support allows. Things of one kind
lean differently, digits by up to 20 degrees, so that less than this takes right ones out."""
MOST = 0.2
"""If a larger share of the images is outside, the support is wrong rather than the clusters."""


def put_inside(
    rings: Float[Tensor, "n c rings angles"],
    labels: Int[Tensor, " n"],
    oriented: Oriented,
    half_width: float,
    hints: Hints | None = None,
    by: Distance = "tangent",
) -> tuple[Int[Tensor, " n"], Oriented]:
    """Move images outside the support to the cluster in which they are most alike inside it.

    Args:
        rings: images on rings.
        labels: their clusters.
        oriented: how they lie in the frames of these.
        half_width: half-width of the support of rotations, radians.
        hints: what a person said; images with a hint stay.
        by: distance of images once they are aligned.

    Returns:
        The clusters, and how the images lie in their frames. The arguments do not change.
    """
    outside = oriented.angle.abs() > half_width + TOLERANCE
    if hints is not None:
        outside[hints.rows()] = False
    if half_width > WHOLE_CIRCLE or not 0 < outside.float().mean() <= MOST:
        return labels, oriented
    known = (oriented.angle.abs() <= half_width).nonzero()[:, 0]
    upright = turned_back(rings[known], oriented.angle[known], oriented.mirrored[known])
    mirror = bool(oriented.mirrored.any())
    moved = compared(rings[outside], upright, labels[known], half_width, mirror=mirror, by=by)
    label, angle, mirrored = (
        each.index_put((outside,), new)
        for each, new in zip((labels, oriented.angle, oriented.mirrored), moved, strict=True)
    )
    return label, replace(oriented, angle=angle, mirrored=mirrored)


def compared(
    rings: Float[Tensor, "n c rings angles"],
    upright: Float[Tensor, "m c rings angles"],
    labels: Int[Tensor, " m"],
    half_width: float,
    *,
    mirror: bool,
    by: Distance = "tangent",
    track: Track = iter,
) -> tuple[Int[Tensor, " n"], Float[Tensor, " n"], Bool[Tensor, " n"]]:
    """Find the cluster of each image by the votes of upright images, and its pose by the nearest.

    Args:
        rings: images on rings.
        upright: others, which were turned back by their poses.
        labels: clusters of these.
        half_width: half-width of the support of rotations, radians.
        mirror: whether images may be mirrored.
        by: distance of images once they are aligned.
        track: wraps the list of parts, to show progress.

    Returns:
        The clusters, the angles from -pi to pi, and the signs of the poses.
    """
    reach = math.pi if half_width > WHOLE_CIRCLE else half_width
    penalty = penalty_of(upright)
    found, _, turn = voters_of(
        rings, upright, penalty=penalty, reach=reach, mirror=mirror, by=by, track=track
    )
    votes = labels[found]
    share = (votes[:, :, None] == votes[:, None]).sum(2)
    best = share.argmax(1, keepdim=True)  # the first one is the nearest
    angle, mirrored = (
        each.view_as(votes).gather(1, best)[:, 0]
        for each in (undone(turn.angle, turn.mirrored), turn.mirrored)
    )
    return votes.gather(1, best)[:, 0], wrapped(angle), mirrored
