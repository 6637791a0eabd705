"""The invariant graph: the nearest neighbours of each image, however the images are moved.

The distance of two images is the least over the group: over rotations that two images of the
support can have between them, and mirror images if they are allowed. Shifts and scales come from
moments. Among the most alike images, neighbours are then chosen by the tangent distance, which
ignores small deformations too. No image is warped: all of this happens on rings.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from mcevae.geometry.groups import WHOLE_CIRCLE, MatrixGroup
from mcevae.images.arrays import require, shrink, to_float
from mcevae.teaching.extent import LONGEST, extent_of, frame_of
from mcevae.teaching.rings import Track, Turn, most_alike, on_rings
from mcevae.teaching.tangent import Distance, nearest_of

CHUNK = 500
"""Images that are floats at a time."""
CANDIDATES = 60
"""Images, among the most alike, from which neighbours are chosen."""


@dataclass(frozen=True, kw_only=True)
class Described:
    """N images on rings.

    Attributes:
        rings: as `on_rings` gives them.
        rest: (N, T - 1), parameters of the pose other than the rotation, from moments.
    """

    rings: Float[Tensor, "n c rings angles"]
    rest: Float[Tensor, "n rest"]


@dataclass(frozen=True, kw_only=True)
class Neighbours:
    """The k nearest neighbours of N images.

    Attributes:
        index: (N, k), the neighbours of each image, the nearest first. An image is not its own.
        distance: (N, k), at least 0.
    """

    index: Int[Tensor, "n k"]
    distance: Float[Tensor, "n k"]


@dataclass(frozen=True, kw_only=True)
class Graph(Neighbours):
    """Neighbours, and how images lie to each other.

    Attributes:
        turn: (N k,), how each image is turned onto its neighbours, row by row.
        by: distance of images once they are aligned.
    """

    turn: Turn
    by: Distance = "tangent"


def describe(
    images: Iterable[Float[Tensor, "b c h w"]],
    group: MatrixGroup,
    background: float,
    extent: float = 1.0,
) -> Described:
    """Put images on rings, about their centroid if the group shifts and by their size if it scales.

    Args:
        images: from 0 to 1, in parts.
        group: of the poses.
        background: of all images, from 0 to 1.
        extent: diameter of the outermost ring, as `extent_of` finds it.
    """
    parts = []
    for some in images:
        differences = shrink(some, round(LONGEST / extent)) - background
        rest, middle, scale = frame_of(differences.abs(), group)
        parts.append((on_rings(differences, middle, scale, extent), rest))
    rings, rest = (torch.cat(part) for part in zip(*parts, strict=True))
    return Described(rings=rings, rest=rest)


def describe_pixels(
    pixels: UInt8[Tensor, "n c h w"],
    group: MatrixGroup,
    background: float,
    track: Track = iter,
) -> Described:
    """Do the same for images as bytes, a part at a time, on rings that reach as far as they show.

    Args:
        pixels: the images.
        group: of the poses.
        background: of all images, from 0 to 1.
        track: wraps the list of parts.
    """
    extent = extent_of(pixels, group, background)
    step = max(1, round(CHUNK * extent**2))  # small things are shrunk less
    rows = [slice(begin, begin + step) for begin in range(0, len(pixels), step)]
    parts = (to_float(pixels[each]) for each in track(rows))
    return describe(parts, group, background, extent)


def reach_of(half_width: float) -> float:
    """How far two images of a support can be turned from each other, in radians."""
    return math.pi if half_width > WHOLE_CIRCLE else min(math.pi, 2 * half_width)


def invariant_graph(
    rings: Float[Tensor, "n c rings angles"],
    neighbours: int,
    *,
    reach: float = math.pi,
    mirror: bool = False,
    by: Distance = "tangent",
    track: Track = iter,
) -> Graph:
    """Find the nearest neighbours of each image.

    Args:
        rings: images on rings.
        neighbours: k, 1 to N - 1.
        reach: how far two images may be turned from each other, radians.
        mirror: whether mirror images count as alike.
        by: distance of images once they are aligned: tangent, or Euclidean.
        track: wraps the list of parts, to show progress.

    Raises:
        UserError: there are k images or fewer, or k is below 1.
    """
    index = candidates_of(rings, neighbours, reach=reach, mirror=mirror, track=track)
    return graph_among(rings, index, neighbours, reach=reach, mirror=mirror, by=by)


def candidates_of(
    rings: Float[Tensor, "n c rings angles"],
    neighbours: int,
    *,
    reach: float,
    mirror: bool,
    track: Track = iter,
) -> Int[Tensor, "n count"]:
    """Find the most alike images of each, from which neighbours are chosen.

    Arguments and errors are those of `invariant_graph`.
    """
    n, k = len(rings), neighbours
    require(k >= 1, f"There cannot be {k} neighbours; ask for at least 1.")
    require(n > k, f"{n} images are too few for {k} neighbours each; give more, or ask for fewer.")
    count = min(max(CANDIDATES, k), n - 1)
    return most_alike(rings, count, reach=reach, mirror=mirror, track=track)


def graph_among(
    rings: Float[Tensor, "n c rings angles"],
    candidates: Int[Tensor, "n count"],
    neighbours: int,
    *,
    reach: float,
    mirror: bool,
    by: Distance,
) -> Graph:
    """Find the nearest neighbours of each image among candidates; see `invariant_graph`."""
    index, distance, turn = nearest_of(
        rings, candidates, neighbours, reach=reach, mirror=mirror, by=by
    )
    return Graph(index=index, distance=distance, turn=turn, by=by)
