"""Clusters by several descriptions of images: rings, by two distances, and features.

Features are numbers that somebody else computed, or that were learned. Each description has
distances of its own. To join two of them, distances are measured in units of how far the neighbours
of each image are in that description, and their squares are added. So neither needs a weight. If
features say nothing, and there are many of them, all images are about as far as the neighbours, so
that they hardly change the order.

Which graphs count, and which one is the best, is told by how well restarts of clusters agree. No
label is read.
"""

import warnings
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from mcevae.images.arrays import Hints
from mcevae.teaching.cluster import Grouping, backing_of, start_clusters
from mcevae.teaching.graph import Graph, Neighbours, candidates_of, graph_among
from mcevae.teaching.rings import Track
from mcevae.teaching.tangent import Distance, nearest_of

TURN = ("likeness", "angle", "mirrored")
"""The parts of a `Turn`."""
LESS = 0.03
"""Restarts agree about as well if their agreement is smaller by at most this. On clothes they agree
by 0.94 with learned features and without, and clusters with them are better by 0.06."""
ROWS = 500
"""Images whose features are compared with those of all others at a time."""


def standardised(features: Float[Tensor, "n f"]) -> Float[Tensor, "n f"]:
    """Give each feature mean 0 and variance 1; one that never changes becomes 0."""
    centred = features - features.mean(0)
    return centred / centred.square().mean(0).sqrt().clamp_min(1e-6)


def closest(
    features: Float[Tensor, "n f"], count: int, track: Track = iter
) -> tuple[Int[Tensor, "n count"], Float[Tensor, "n count"]]:
    """Find the other images with the most similar features, the nearest first.

    Args:
        features: standardised.
        count: number of images to find, at most N - 1.
        track: wraps the list of parts, to show progress.

    Returns:
        Their indices and distances.
    """
    found, distances = [], []
    for start in track(range(0, len(features), ROWS)):
        apart = torch.cdist(features[start : start + ROWS], features)
        apart.diagonal(start).fill_(torch.inf)  # not its own
        distance, index = apart.topk(count, 1, largest=False)
        found.append(index)
        distances.append(distance)
    return torch.cat(found), torch.cat(distances)


def described_graph(
    rings: Float[Tensor, "n c rings angles"],
    alike: Int[Tensor, "n count"],
    features: Float[Tensor, "n f"],
    near: tuple[Int[Tensor, "n count"], Float[Tensor, "n count"]],
    neighbours: int,
    *,
    reach: float,
    mirror: bool,
    by: Distance,
) -> Graph:
    """Find the nearest neighbours of each image by its rings and its features together.

    Args:
        rings: images on rings.
        alike: candidates by their rings, as `candidates_of` finds them.
        features: standardised.
        near: as many candidates by their features, as `closest` finds them.
        neighbours: k.
        reach: how far two images may be turned from each other, radians.
        mirror: whether mirror images count as alike.
        by: distance of images once they are aligned.
    """
    n, k, (by_features, apart) = len(rings), neighbours, near
    both = torch.cat([alike, by_features], 1)
    index, distance, turn = nearest_of(
        rings, both, both.shape[1], reach=reach, mirror=mirror, by=by
    )
    # An image may be among the candidates of both kinds; only the first of the two counts.
    ordered, order = index.sort(dim=1, stable=True)
    again = F.pad(ordered[:, 1:] == ordered[:, :-1], (1, 0))
    again = torch.zeros_like(again).scatter(1, order, again)
    once = distance.masked_fill(again, torch.inf).sort(1).values
    feature = torch.stack(
        [(features[others] - features[i]).norm(dim=1) for i, others in enumerate(index)]
    )
    by_pixels = distance / once[:, k - 1, None].clamp_min(1e-6)
    by_feature = feature / apart[:, k - 1, None].clamp_min(1e-6)
    together = (by_pixels.square() + by_feature.square()).masked_fill(again, torch.inf)
    together, best = together.topk(k, 1, largest=False)
    chosen = {name: getattr(turn, name).view(n, -1).gather(1, best).flatten() for name in TURN}
    return Graph(
        index=index.gather(1, best),
        distance=(together / 2).sqrt(),
        turn=type(turn)(**chosen),
        by=by,
    )


def sorted_by_all(
    rings: Float[Tensor, "n c rings angles"],
    features: Float[Tensor, "n f"] | None,
    clusters: int | None,
    *,
    neighbours: int,
    reach: float,
    mirror: bool,
    by: Distance = "tangent",
    most: int = 30,
    restarts: int = 5,
    seed: int = 0,
    hints: Hints | None = None,
    track: Track = iter,
) -> tuple[Graph, Grouping]:
    """Sort images into clusters by all that describes them.

    With features, clusters are what all graphs have in common: of rings and features together, of
    rings by tangent and by Euclidean distance, of features. Each splits and joins other kinds by
    mistake. Without features, rings by tangent distance describe most kinds better than by
    Euclidean distance. If restarts agree clearly better on the second (`steadiest`), it is taken;
    but a number of clusters that must be chosen comes from the first alone. With hints, clusters
    have numbers. Then the graph of rings and features is taken, or that of rings if restarts agree
    clearly better on it.

    Args:
        rings: images on rings.
        features: numbers that describe each image as well.
        clusters: K; None to choose it.
        neighbours: k, 1 to N - 1.
        reach: how far two images may be turned from each other, radians.
        mirror: whether mirror images count as alike.
        by: distance of images once they are aligned.
        most, restarts, seed, hints: as `start_clusters` has them.
        track: wraps the list of parts, to show progress.

    Returns:
        The graph of `steadiest`, or that of rings and features, and the clusters.

    Raises:
        UserError: there are too few images for the clusters or neighbours.
    """
    how: dict[str, Any] = {"reach": reach, "mirror": mirror}
    alike = candidates_of(rings, neighbours, track=track, **how)

    def alone(by: Distance) -> Graph:
        return graph_among(rings, alike, neighbours, by=by, **how)

    def group(graph: Graph, others: Sequence[Neighbours] = ()) -> Grouping:
        return start_clusters(
            rings.flatten(1),
            graph,
            clusters,
            others=others,
            most=most,
            restarts=restarts,
            seed=seed,
            hints=hints,
            track=track,
        )

    distances: list[Distance] = [by] if by == "euclidean" else [by, "euclidean"]
    if features is None:
        tried = [partial(alone, each) for each in distances]
        return steadiest(tried if clusters is not None else tried[:1], group)
    features = standardised(features)
    near = closest(features, alike.shape[1], track)
    joint = described_graph(rings, alike, features, near, neighbours, by=by, **how)
    if hints is not None:
        return steadiest([lambda: joint, lambda: alone(by)], group)
    index, apart = (each[:, :neighbours] for each in near)
    featured = Neighbours(index=index, distance=apart)
    return joint, group(joint, [*map(alone, distances), featured])


def assortativity(graph: Neighbours, labels: Int[Tensor, " n"]) -> float:
    """How much more often neighbours share a cluster than any two images; 1: always, 0: as often.

    Few clusters, or a large one, do not make it larger by themselves (Newman, "Mixing patterns in
    networks", 2003).

    Args:
        graph: the images and their neighbours.
        labels: their clusters.
    """
    share = labels.bincount().double() / len(labels)
    chance = share.square().sum().item()
    return (backing_of(graph, labels).mean().item() - chance) / max(1 - chance, 1e-9)


def confirmed(
    features: Float[Tensor, "n f"],
    known: Int[Tensor, " n"],
    found: Int[Tensor, " n"],
    neighbours: int,
) -> bool:
    """Whether features speak for clusters of pixels, rather than for those found with features.

    Features know nothing of clusters of pixels. If their own graph has more neighbours in common
    with these, two descriptions say the same.

    Args:
        features: of N images.
        known: their clusters by pixels.
        found: their clusters by pixels and features.
        neighbours: of each image in the graph of features.
    """
    index, distance = closest(standardised(features), min(neighbours, len(features) - 1))
    graph = Neighbours(index=index, distance=distance)
    return assortativity(graph, known) > assortativity(graph, found)


def steadiest(
    graphs: list[Callable[[], Graph]], group: Callable[[Graph], Grouping]
) -> tuple[Graph, Grouping]:
    """Group graphs; return the first one on which restarts agree well enough, and its clusters.

    A graph has lost if they agree better on another one by more than `LESS`; the others are made
    only if one could. Only what the chosen one warns of is told.

    Args:
        graphs: makes each graph.
        group: finds its clusters.
    """
    tried = []
    for make in graphs:
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            graph = make()
            tried.append((graph, group(graph), told))
        if not tried[0][1].agreement < 1 - LESS:  # or it is NaN: there is a single restart
            break
    least = max(grouping.agreement for _, grouping, _ in tried) - LESS
    graph, grouping, told = next(one for one in tried if not one[1].agreement < least)
    for one in told:
        warnings.warn(one.message, stacklevel=2)
    return graph, grouping
