"""First clusters and first poses of all images, from the invariant graph."""

from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from mcevae.images.arrays import Hints
from mcevae.teaching.cluster import Grouping, backing_of
from mcevae.teaching.described import sorted_by_all
from mcevae.teaching.graph import reach_of
from mcevae.teaching.hinted import first_with_hints
from mcevae.teaching.inside import compared, put_inside
from mcevae.teaching.rings import Track, turned_back
from mcevae.teaching.tangent import Distance
from mcevae.teaching.upright import Oriented, orient

PAIRS, LEAST = 400_000_000, 2000
"""The other images are compared with so many images of the graph that there are about this many
pairs, but with at least so many images. The more there are, the more often clusters are right."""


@dataclass(frozen=True, kw_only=True)
class InvariantStart:
    """What the invariant graph says about N images.

    Attributes:
        grouping: their clusters. No neighbours back those of images outside the graph.
        by: distance that the graph has of images once they are aligned.
        rows: (M,), which images are in the graph.
        oriented: how images in the graph lie in the frames of their clusters.
        angle: (N,), radians.
        mirrored: (N,), whether it is mirrored.
    """

    grouping: Grouping
    by: Distance
    rows: Int[Tensor, " m"]
    oriented: Oriented
    angle: Float[Tensor, " n"]
    mirrored: Bool[Tensor, " n"]


def invariant_start(
    rings: Float[Tensor, "n c rings angles"],
    clusters: int | None,
    half_width: float,
    *,
    neighbours: int = 15,
    restarts: int = 5,
    most: int = 30,
    mirror: bool = False,
    by: Distance = "tangent",
    subset: int = 20_000,
    seed: int = 0,
    features: Float[Tensor, "n f"] | None = None,
    hints: Hints | None = None,
    track: Track = iter,
) -> InvariantStart:
    """Sort images by what they show, however they lie, and find how each lies.

    Args:
        rings: images on rings.
        clusters: K; None to choose it.
        half_width: half-width of the support of rotations, radians.
        neighbours: number of neighbours of each image.
        restarts: how many times to group the graph.
        most: largest K to try.
        mirror: whether images may be mirrored.
        by: distance of images once they are aligned.
        subset: number of random images in the graph. The others are compared with some of them.
        seed: seed of the subset, the clusters and the synchronisation.
        features: numbers that describe each image as well; see `teaching.described`.
        hints: what a person said of some images.
        track: wraps the list of parts of the graph, to show progress.

    Raises:
        UserError: there are too few images for the clusters or neighbours.
    """
    generator = torch.Generator().manual_seed(seed)
    order = first_with_hints(torch.randperm(len(rings), generator=generator), hints)
    rows, rest = order[:subset], order[subset:]
    own = None if features is None else features[rows]
    said = None if hints is None else hints.subset(rows)
    how: dict[str, Any] = {"most": most, "restarts": restarts, "seed": seed, "hints": said}
    how |= {"neighbours": neighbours, "reach": reach_of(half_width), "by": by}
    same: dict[str, Any] = {"mirror": mirror, "track": track}
    graph, grouping = sorted_by_all(rings[rows], own, clusters, **how, **same)
    same |= {"by": graph.by}
    oriented = orient(rings[rows], graph, grouping.labels, half_width, seed=seed)
    found, oriented = put_inside(rings[rows], grouping.labels, oriented, half_width, said, graph.by)
    labels = torch.empty(len(rings), dtype=torch.long)
    angle, mirrored = torch.empty(len(rings)), torch.empty(len(rings), dtype=torch.bool)
    labels[rows], angle[rows], mirrored[rows] = found, oriented.angle, oriented.mirrored
    backing = torch.zeros(len(rings)).index_put((rows,), backing_of(graph, found))
    if len(rest):
        known = rows[: max(LEAST, PAIRS // len(rest))]
        upright = turned_back(rings[known], angle[known], mirrored[known])
        labels[rest], angle[rest], mirrored[rest] = compared(
            rings[rest], upright, labels[known], half_width, **same
        )
    return InvariantStart(
        grouping=replace(grouping, labels=labels, backing=backing),
        by=graph.by,
        rows=rows,
        oriented=oriented,
        angle=angle,
        mirrored=mirrored,
    )
