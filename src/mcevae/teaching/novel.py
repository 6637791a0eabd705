"""New kinds of images among new ones: those that no group of the known images stands for.

There are two ways to see one. First, known and new images are sorted into communities of their
graph. A community that is nearly all new is a kind for which there is no group. Trust falls for
this reason, too: it compares the groups with these communities.

Second, some images are like nothing that is known. A new image is far if its nearest known image is
farther than usual in that image's group, because some kinds vary more than others. Some images of
known kinds are far as well, but their neighbours are known images. So far images are a new kind if
they are more than chance gives, and most neighbours of each are far images, too. Those that
neighbours connect are one kind.

Other new images join a kind if their nearest image is in it. A kind of far images that then has too
few far ones is a known kind, of which there are many new images. Where both ways find the same
images, the community counts.

No label is read.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from scipy.sparse.csgraph import connected_components
from torch import Tensor

from mcevae.teaching.communities import nearest_edges, stable_communities
from mcevae.teaching.counting import pairs, symmetric
from mcevae.teaching.graph import CANDIDATES, invariant_graph, reach_of
from mcevae.teaching.rings import Track, most_alike
from mcevae.teaching.tangent import nearest_of, penalty_of
from mcevae.teaching.upright import orient

LEAST = 20
"""Images that a new kind needs, with those that join it."""
FAR, EXCESS = 0.85, 3.0
"""An image is far if it is farther than the share `FAR` of the known images of that group from each
other. Far images must be more than chance gives by `EXCESS` standard deviations."""
NEAR = 5
"""Neighbours that are asked."""
MOST = 0.75
"""More than this share of the images of a new kind, with those that join it, are far; of a
community that is a new kind, more than this share is new."""
ODDS = 8.0
"""And its images are new by so many times larger odds than all images. Of communities of kinds that
are known: at most 2; of most new kinds: 10 and more."""
SAME = 0.3
"""See `stable_communities`; as for trust."""
FREE = 0.5
"""Least share of a kind's images that are in no kind found before it; else it is that kind."""
KNOWN, ASKED = 2000, 4000
"""Known images that are compared, and new images in the graph, at most; drawn at random."""
NONE = -1
"""Stands for the kind of a new image that is like the known ones."""


@dataclass(frozen=True, kw_only=True)
class Kinds:
    """New kinds among n new images.

    Attributes:
        count: number of new kinds.
        number: of the kind, (n,), 0 to count - 1, or `NONE`.
        angle: (n,), how each lies in the frame of its new kind, radians; 0 where it has none.
        mirrored: (n,), whether it is mirrored there.
    """

    count: int
    number: Int[Tensor, " n"]
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
        seed: seed of the choice of images, and of the frames.
        track: wraps the list of parts of the graph, to show progress.
    """
    generator = torch.Generator().manual_seed(seed)
    chosen = torch.randperm(len(known), generator=generator)[:KNOWN]
    asked = torch.randperm(len(new), generator=generator)[:ASKED].sort().values
    known, group = known[chosen], group[chosen]
    n, nothing = len(new), new.new_zeros(len(new))
    kinds = Kinds(count=0, number=torch.full((n,), NONE), angle=nothing, mirrored=nothing > 0)
    if len(asked) < LEAST or len(known) < 2:
        return kinds
    how = {"reach": reach_of(half_width), "mirror": mirror}
    found = of_communities(known, new, asked, neighbours=neighbours, **how, track=track)
    found += of_far(known, group, new, asked, **how, track=track)
    count = 0
    for rows in found:
        free = rows[kinds.number[rows] == NONE]
        if len(free) < max(LEAST, FREE * len(rows)):
            continue
        inner = invariant_graph(new[free], min(neighbours, len(free) - 1), **how)
        lies = orient(new[free], inner, torch.zeros(len(free)).long(), half_width, seed=seed)
        kinds.number[free], kinds.angle[free] = count, lies.angle
        kinds.mirrored[free] = lies.mirrored
        count += 1
    return Kinds(count=count, number=kinds.number, angle=kinds.angle, mirrored=kinds.mirrored)


def of_communities(
    known: Float[Tensor, "m c rings angles"],
    new: Float[Tensor, "n c rings angles"],
    asked: Int[Tensor, " some"],
    *,
    neighbours: int,
    reach: float,
    mirror: bool,
    track: Track = iter,
) -> list[Int[Tensor, " _"]]:
    """Rows of new images for each community of the graph that is nearly all new.

    Args:
        known, new, neighbours, track: as for `new_kinds`.
        asked: rows of new images in the graph; others join by their nearest image.
        reach, mirror: as for `are_far`.
    """
    how = {"reach": reach, "mirror": mirror}
    both = torch.cat([known, new[asked]])
    graph = invariant_graph(both, min(neighbours, len(both) - 1), **how, track=track)
    community = torch.from_numpy(stable_communities(nearest_edges(graph), same=SAME)).long()
    fresh, usual = community[len(known) :], len(asked) / len(both)
    part = torch.full((len(asked),), NONE)
    for one in range(int(community.max()) + 1):
        mine = int((fresh == one).sum())
        share = mine / max(1, int((community == one).sum()))
        if mine >= LEAST and share > MOST and share * (1 - usual) >= ODDS * usual * (1 - share):
            part[fresh == one] = int(part.max()) + 1
    seeds = part != NONE
    if not seeds.any():
        return []
    found = joined_by_nearest(known, new, asked[seeds], part[seeds], **how)
    return [(found == one).nonzero()[:, 0] for one in range(int(part.max()) + 1)]


def of_far(
    known: Float[Tensor, "m c rings angles"],
    group: Int[Tensor, " m"],
    new: Float[Tensor, "n c rings angles"],
    asked: Int[Tensor, " some"],
    *,
    reach: float,
    mirror: bool,
    track: Track = iter,
) -> list[Int[Tensor, " _"]]:
    """Rows of new images for each kind that is like nothing known.

    Args:
        known, group, new, track: as for `new_kinds`.
        asked: rows of new images that are compared; others join.
        reach, mirror: as for `are_far`.
    """
    how = {"reach": reach, "mirror": mirror}
    far = torch.zeros(len(new), dtype=torch.bool)
    far[asked] = are_far(known, group, new[asked], **how, track=track)
    chance = (1 - FAR) * len(asked) + EXCESS * (FAR * (1 - FAR) * len(asked)) ** 0.5
    if far.sum() < max(LEAST, chance):
        return []
    apart = in_company(known, new, far.nonzero()[:, 0], **how)
    if len(apart) <= NEAR:
        return []
    part = joined_by_nearest(known, new, apart, parts_of(new[apart], **how), **how)
    found = [(part == one).nonzero()[:, 0] for one in range(int(part.max()) + 1)]

    def is_far(rows: Tensor) -> bool:
        return bool(far[rows[torch.isin(rows, asked)]].float().mean() > MOST)

    return [rows for rows in found if len(rows) >= LEAST and is_far(rows)]


def are_far(
    known: Float[Tensor, "m c rings angles"],
    group: Int[Tensor, " m"],
    new: Float[Tensor, "n c rings angles"],
    *,
    reach: float,
    mirror: bool,
    track: Track = iter,
) -> Bool[Tensor, " n"]:
    """Tell which images are farther from every known image than most of that image's group are.

    Args:
        known, group, new, track: as for `new_kinds`.
        reach: how far two images may be turned from each other, radians.
        mirror: whether mirror images count as alike.
    """
    how = {"reach": reach, "mirror": mirror}
    usual = invariant_graph(known, 1, **how, track=track).distance[:, 0]
    nearest, distance = nearest_in(known, new, 1, **how)
    bounds = torch.full((int(group.max()) + 1,), usual.quantile(FAR).item())
    for one in group.unique().tolist():
        inside = usual[group == one]
        if len(inside) >= LEAST:
            bounds[one] = inside.quantile(FAR)
    return distance[:, 0] > bounds[group[nearest[:, 0]]]


def nearest_in(
    known: Float[Tensor, "m c rings angles"],
    new: Float[Tensor, "n c rings angles"],
    count: int,
    *,
    reach: float,
    mirror: bool,
) -> tuple[Int[Tensor, "n count"], Float[Tensor, "n count"]]:
    """Find the nearest known images of each new one, and their distances.

    Args:
        known, new: as for `new_kinds`.
        count: number of images to find.
        reach, mirror: as for `are_far`.
    """
    how = {"reach": reach, "mirror": mirror}
    near = most_alike(new, min(CANDIDATES, len(known)), among=known, **how)
    return nearest_of(new, near, count, among=known, penalty=penalty_of(known), **how)[:2]


def in_company(
    known: Float[Tensor, "m c rings angles"],
    new: Float[Tensor, "n c rings angles"],
    far: Int[Tensor, " far"],
    *,
    reach: float,
    mirror: bool,
) -> Int[Tensor, " some"]:
    """Those of the far images most of whose `NEAR` neighbours are far images, too.

    Args:
        known, new: as for `new_kinds`.
        far: rows of the far images.
        reach, mirror: as for `are_far`.
    """
    among = torch.cat([known, new[far]])
    # One more, because each is its own nearest.
    nearest, _ = nearest_in(among, new[far], NEAR + 1, reach=reach, mirror=mirror)
    own = (nearest >= len(known)).sum(1) - 1
    return far[own > NEAR / 2]


def parts_of(
    new: Float[Tensor, "n c rings angles"], *, reach: float, mirror: bool
) -> Int[Tensor, " n"]:
    """Number the parts that the `NEAR` neighbours of images connect.

    Args:
        new: more than `NEAR` images on rings.
        reach, mirror: as for `are_far`.
    """
    edges = pairs(invariant_graph(new, NEAR, reach=reach, mirror=mirror).index)
    _, part = connected_components(symmetric(edges, len(new)), directed=False)
    return torch.from_numpy(part).long()


def joined_by_nearest(
    known: Float[Tensor, "m c rings angles"],
    new: Float[Tensor, "n c rings angles"],
    seeds: Int[Tensor, " seeds"],
    part: Int[Tensor, " seeds"],
    *,
    reach: float,
    mirror: bool,
) -> Int[Tensor, " n"]:
    """The part of each new image: of a seed its own, of others that of the nearest seed.

    It is `NONE` if a known image is nearer.

    Args:
        known, new: as for `new_kinds`.
        seeds: rows of new images that have a part.
        part: of each of them.
        reach, mirror: as for `are_far`.
    """
    found = torch.full((len(new),), NONE)
    found[seeds] = part
    rest = (found == NONE).nonzero()[:, 0]
    if len(rest):
        among = torch.cat([known, new[seeds]])
        nearest = nearest_in(among, new[rest], 1, reach=reach, mirror=mirror)[0][:, 0]
        joins = nearest >= len(known)
        found[rest[joins]] = part[nearest[joins] - len(known)]
    return found
