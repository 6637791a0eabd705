"""Features that somebody else computed, in the invariant graph.

Each description of an image, by its rings and by its features, has distances of its own. They are
measured in units of how far the neighbours of each image are in that description, and their
squares are added. So neither needs a weight. If features say nothing, and there are many of them,
all images are about as far as the neighbours, so that they hardly change the order.

A graph with features is only kept if the restarts of clusters agree about as well on it as on the
graph of the images alone. No label is read.
"""

import warnings
from collections.abc import Callable
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from mcevae.teaching.cluster import Grouping
from mcevae.teaching.graph import CANDIDATES, Graph, invariant_graph
from mcevae.teaching.rings import Track, most_alike
from mcevae.teaching.tangent import nearest_of

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
    features: Float[Tensor, "n f"],
    neighbours: int,
    *,
    reach: float,
    mirror: bool,
    track: Track = iter,
) -> Graph:
    """Find the nearest neighbours of each image by its rings and its features together.

    Args:
        rings: images on rings.
        features: as they were given.
        neighbours: k, 1 to N - 1.
        reach: how far two images may be turned from each other, radians.
        mirror: whether mirror images count as alike.
        track: wraps the list of parts, to show progress.
    """
    n, k = len(rings), neighbours
    features = standardised(features)
    count = min(max(CANDIDATES, k), n - 1)
    by_rings = most_alike(rings, count, reach=reach, mirror=mirror, track=track)
    by_features, apart = closest(features, count, track)
    both = torch.cat([by_rings, by_features], 1)
    index, distance, turn = nearest_of(rings, both, 2 * count, reach=reach, mirror=mirror)
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
    )


def graphs_of(
    rings: Float[Tensor, "n c rings angles"],
    features: Float[Tensor, "n f"] | None,
    neighbours: int,
    *,
    reach: float,
    mirror: bool,
    by: Literal["tangent", "euclidean"] = "tangent",
    track: Track = iter,
) -> list[Callable[[], Graph]]:
    """Make the graphs that are tried: with features, if there are any, and without.

    The arguments are those of `described_graph` and `graph.invariant_graph`.
    """

    def alone() -> Graph:
        return invariant_graph(rings, neighbours, reach=reach, mirror=mirror, by=by, track=track)

    def together() -> Graph:
        assert features is not None
        return described_graph(rings, features, neighbours, reach=reach, mirror=mirror, track=track)

    return [alone] if features is None else [together, alone]


def steadiest(
    graphs: list[Callable[[], Graph]], group: Callable[[Graph], Grouping]
) -> tuple[Graph, Grouping]:
    """Group graphs; return the first graph, and its clusters, if restarts agree on it well enough.

    It has lost if they agree better on another one by more than `LESS`. Only what the chosen one
    warns of is told.

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
    best = max(_agreement(grouping) for _, grouping, _ in tried)
    graph, grouping, told = next(one for one in tried if _agreement(one[1]) >= best - LESS)
    for one in told:
        warnings.warn(one.message, stacklevel=2)
    return graph, grouping


def _agreement(grouping: Grouping) -> float:
    """How well the restarts agreed; 0 with a single one."""
    return grouping.agreement if grouping.agreement == grouping.agreement else 0.0
