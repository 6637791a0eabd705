"""Clusters that look like parts of one cluster."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Int

from mcevae.teaching.graph import Neighbours

ONE_CLUSTER = 1 / 3
"""Of the connection that random halves of a cluster have; see `alike`."""


def duplicates(
    labels: Int[np.ndarray, " n"], graphs: Sequence[Neighbours], clusters: int
) -> list[tuple[int, int]]:
    """Pairs of clusters, smaller number first, that look like parts of one cluster in each graph.

    Args:
        labels: the cluster of each image.
        graphs: their neighbours, by each description; none: nothing is known.
        clusters: the number of clusters K.
    """
    each = [alike(labels, graph.index.cpu().numpy(), clusters) for graph in graphs]
    return [pair for pair in each[0] if all(pair in others for others in each[1:])] if each else []


def alike(
    labels: Int[np.ndarray, " n"], neighbours: Int[np.ndarray, "n k"], clusters: int
) -> list[tuple[int, int]]:
    """Pairs of clusters that are connected like parts of one cluster.

    If one cluster were split at random, then of the d_a and d_b ends of edges that its parts have
    in both parts together, d_a d_b / (d_a + d_b) edges would lead from one part to the other. A
    pair is named if it has surely (by two standard errors) more than `ONE_CLUSTER` of that: a split
    by the mixture follows gaps, so it cuts fewer edges than one at random. Only the two clusters
    count. Modularity would compare them with the whole graph, and would also join
    small clusters that differ (Fortunato, Barthelemy, "Resolution limit in community detection",
    2007).

    An edge counts if both images are neighbours of each other. An image has at most as many
    neighbours as its cluster has other images, because the rest must be from other clusters.

    Args:
        labels: (N,) the cluster of each image.
        neighbours: (N, k) indices of each image's neighbours, nearest first.
        clusters: the number of clusters K.
    """
    n, k = neighbours.shape
    others = np.bincount(labels, minlength=clusters)[labels] - 1
    near = np.arange(k) < others[:, None]
    one, other = near.nonzero()[0], neighbours[near]
    mutual = np.isin(one * n + other, other * n + one)
    pairs = labels[one[mutual]] * clusters + labels[other[mutual]]
    edges = np.bincount(pairs, minlength=clusters**2).reshape(clusters, clusters)
    ends = np.diag(edges)[:, None] + edges  # of a's edges within a and b, (K, K)
    at_random = ends * ends.T / np.maximum(ends + ends.T, 1)
    named = np.triu(edges - 2 * np.sqrt(edges) > ONE_CLUSTER * at_random, k=1)
    return [(a, b) for a, b in np.argwhere(named).tolist()]
