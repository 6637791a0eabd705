"""New kinds of images: those that are like nothing among the images that are known.

Known and new images are put into one invariant graph. One of its communities is a new kind if it is
made nearly of new images alone, and if most of these are farther from every known image than known
images are from each other. The first alone would not do: if many new images show a known kind, they
are each other's neighbours, too. A distance is compared with those inside the group of the nearest
known image, because some kinds vary more than others. No label is read.
"""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from mcevae.teaching.communities import communities
from mcevae.teaching.counting import pairs, symmetric
from mcevae.teaching.graph import CANDIDATES, invariant_graph, reach_of
from mcevae.teaching.rings import Track, most_alike, turns
from mcevae.teaching.tangent import nearest_of, penalty_of
from mcevae.teaching.upright import moved, orient

LEAST = 20
"""Images that a new kind needs."""
MOSTLY = 0.75
"""Share of a community that new images must be."""
FAR, MOST = 0.85, 0.5
"""More than `MOST` of its new images must be farther from the nearest known image than the share
`FAR` of that image's group are."""
KNOWN, ASKED = 2000, 4000
"""Known images that are compared, and new images in the graph, at most; drawn at random."""
NONE = -1
"""Stands for the kind of a new image that is like the known ones."""


@dataclass(frozen=True, kw_only=True)
class Kinds:
    """New kinds among n new images.

    Attributes:
        count: number of new kinds.
        kind: (n,), 0 to count - 1, or `NONE`.
        angle: (n,), how each lies in the frame of its new kind, radians; 0 where it has none.
        mirrored: (n,), whether it is mirrored there.
    """

    count: int
    kind: Int[Tensor, " n"]
    angle: Float[Tensor, " n"]
    mirrored: Bool[Tensor, " n"]


def new_kinds(
    known: Float[Tensor, "m c rings angles"],
    group: Int[Tensor, " m"],
    new: Float[Tensor, "n c rings angles"],
    half_width: float,
    *,
    neighbours: int = 15,
    mirror: bool = False,
    seed: int = 0,
    track: Track = iter,
) -> Kinds:
    """Find new kinds, and how their images lie.

    Args:
        known: images that are known, on rings.
        group: of each of them.
        new: other images, on rings.
        half_width: half-width of the support of rotations, radians.
        neighbours: number of neighbours of each image.
        mirror: whether images may be mirrored.
        seed: seed of the choice of images, of the communities and of the frames.
        track: wraps the list of parts of the graph, to show progress.
    """
    generator = torch.Generator().manual_seed(seed)
    chosen = torch.randperm(len(known), generator=generator)[:KNOWN]
    asked = torch.randperm(len(new), generator=generator)[:ASKED].sort().values
    known, group = known[chosen], group[chosen]
    n, nothing = len(new), new.new_zeros(len(new))
    kinds = Kinds(count=0, kind=torch.full((n,), NONE), angle=nothing, mirrored=nothing > 0)
    if len(asked) < LEAST or len(known) < 2:
        return kinds
    how = {"reach": reach_of(half_width), "mirror": mirror}
    both = torch.cat([known, new[asked]])
    graph = invariant_graph(both, min(neighbours, len(both) - 1), **how, track=track)
    found = communities(symmetric(pairs(graph.index), len(both)), seed)
    far = are_far(known, group, new[asked], **how)
    own = found[len(known) :]
    count = 0
    for one in range(found.max() + 1):
        mine = own == one
        if mine.sum() < max(LEAST, MOSTLY * (found == one).sum()) or far[mine].mean() <= MOST:
            continue
        rows = asked[torch.from_numpy(np.flatnonzero(mine))]
        inner = invariant_graph(new[rows], min(neighbours, len(rows) - 1), **how)
        lies = orient(new[rows], inner, torch.zeros(len(rows)).long(), half_width, seed=seed)
        kinds.kind[rows], kinds.angle[rows] = count, lies.angle
        kinds.mirrored[rows] = lies.mirrored
        count += 1
    if count:
        join_nearest(kinds, known, new, **how)
    return Kinds(count=count, kind=kinds.kind, angle=kinds.angle, mirrored=kinds.mirrored)


def are_far(
    known: Float[Tensor, "m c rings angles"],
    group: Int[Tensor, " m"],
    new: Float[Tensor, "n c rings angles"],
    *,
    reach: float,
    mirror: bool,
) -> Bool[np.ndarray, " n"]:
    """Tell which images are farther from every known image than most of that image's group are.

    Args:
        known, group, new: as for `new_kinds`.
        reach: how far two images may be turned from each other, radians.
        mirror: whether mirror images count as alike.
    """
    usual = invariant_graph(known, 1, reach=reach, mirror=mirror).distance[:, 0]
    near = most_alike(new, min(CANDIDATES, len(known)), among=known, reach=reach, mirror=mirror)
    given = {"reach": reach, "mirror": mirror, "penalty": penalty_of(known)}
    nearest, distance, _ = nearest_of(new, near, 1, among=known, **given)
    bounds = torch.full((int(group.max()) + 1,), usual.quantile(FAR).item())
    for one in group.unique().tolist():
        inside = usual[group == one]
        if len(inside) >= LEAST:
            bounds[one] = inside.quantile(FAR)
    return (distance[:, 0] > bounds[group[nearest[:, 0]]]).numpy()


def join_nearest(
    kinds: Kinds,
    known: Float[Tensor, "m c rings angles"],
    new: Float[Tensor, "n c rings angles"],
    *,
    reach: float,
    mirror: bool,
) -> None:
    """Give images whose nearest image is of a new kind that kind, too, and a pose in its frame.

    Args:
        kinds: of the new images; they are changed.
        known, new: as for `new_kinds`.
        reach, mirror: as for `are_far`.
    """
    seeds, rest = ((kinds.kind != NONE).nonzero()[:, 0], (kinds.kind == NONE).nonzero()[:, 0])
    if not len(rest):
        return
    among = torch.cat([known, new[seeds]])
    how = {"reach": reach, "mirror": mirror}
    near = most_alike(new[rest], min(CANDIDATES, len(among)), among=among, **how)
    found, _, _ = nearest_of(new[rest], near, 1, among=among, penalty=penalty_of(among), **how)
    nearest = found[:, 0]
    joins = nearest >= len(known)
    rows, seed = rest[joins], seeds[nearest[joins] - len(known)]
    if len(rows):
        turn = turns(new[seed], new[rows], reach, mirror)
        kinds.kind[rows] = kinds.kind[seed]
        kinds.angle[rows], kinds.mirrored[rows] = moved(
            turn.angle, turn.mirrored, kinds.angle[seed], kinds.mirrored[seed]
        )
