"""Images that cannot be in their cluster, because they would be turned further than the support.

Things that look alike upside down, such as 6 and 9, are neighbours if the support lets two images
be turned by half a turn from each other. So some images get into the cluster of the other kind.
In its frame they stand upside down, outside the support. There they are told apart.
"""

import math
from dataclasses import replace

from jaxtyping import Float, Int
from torch import Tensor

from mcevae.geometry.groups import WHOLE_CIRCLE, wrapped
from mcevae.images.arrays import Hints
from mcevae.teaching.rings import Turn, most_alike, turned_back, turns
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
) -> tuple[Int[Tensor, " n"], Oriented]:
    """Move images outside the support to the cluster in which they are most alike inside it.

    Args:
        rings: images on rings.
        labels: their clusters.
        oriented: how they lie in the frames of these.
        half_width: half-width of the support of rotations, radians.
        hints: what a person said; images with a hint stay.

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
    nearest, turn = compared(rings[outside], upright, half_width, mirror=mirror)
    place = (outside,)
    return labels.index_put(place, labels[known[nearest]]), replace(
        oriented,
        angle=oriented.angle.index_put(place, turn.angle),
        mirrored=oriented.mirrored.index_put(place, turn.mirrored),
    )


def compared(
    rings: Float[Tensor, "n c rings angles"],
    upright: Float[Tensor, "m c rings angles"],
    half_width: float,
    *,
    mirror: bool,
) -> tuple[Int[Tensor, " n"], Turn]:
    """Find the upright image that is most alike to each image, and the image's turn from it.

    Args:
        rings: images on rings.
        upright: others, which were turned back by their poses.
        half_width: half-width of the support of rotations, radians.
        mirror: whether images may be mirrored.

    Returns:
        The index of the upright image, and the turn, from -pi to pi, which is the image's pose.
    """
    reach = math.pi if half_width > WHOLE_CIRCLE else half_width
    nearest = most_alike(rings, 1, among=upright, reach=reach, mirror=mirror)[:, 0]
    turn = turns(upright[nearest], rings, reach, mirror)
    return nearest, replace(turn, angle=wrapped(turn.angle))
