"""The communities of a graph of images: how many kinds of images it shows by itself."""

import math
from collections.abc import Iterator

import numpy as np
import scipy.sparse as sp
from jaxtyping import Float, Int
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import squareform

from mcevae.teaching.graph import Neighbours

RESAMPLES = 8
"""How many times half of the images are sorted anew."""
SAME = 0.15
"""Parts that are sorted together more often than this, as a share of how often each is sorted
together with itself, are one. Pieces of one kind: 0.1 to 0.6; two digits: hardly ever."""
TOUCHING = 0.2
"""Parts that are connected better than this (`connections`) are one. Pieces of red blood cells:
0.21 to 0.35; two digits: at most 0.15."""

PARTED = 0.002
"""Communities are surely parted if they are connected less than this."""
FALL = 4.0
"""And if the two that were joined last are connected so many times as well. The connection that a
single edge would make is added to both, so that a few edges decide nothing."""
LARGEST = 0.75
"""A part with a larger share of the images may hold many kinds: nothing is sure then."""

FEWEST = 4
"""Neighbours of an image that `nearest_edges` keeps, at least."""


def edges_of(graph: Neighbours, most: int | None = None) -> sp.csr_matrix:
    """Symmetric weights (N, N): 1 between images that are neighbours of each other, else 1/2.

    UMAP's weights say much the same, but its compiler takes longer than all else here.

    Args:
        graph: the images and their neighbours.
        most: neighbours of each image that count, the nearest ones; None: all.
    """
    index = graph.index[:, :most].cpu().numpy()
    n, k = index.shape
    rows = np.repeat(np.arange(n), k)
    near = sp.csr_matrix((np.full(n * k, 0.5), (rows, index.ravel())), (n, n))
    return sp.csr_matrix(near + near.T)


def nearest_edges(graph: Neighbours) -> sp.csr_matrix:
    """The edges (N, N) that tell kinds apart, as `edges_of` makes them.

    Only the nearest neighbours count, sqrt(N) / 4 of them, at least `FEWEST` and at most all: where
    there are few images of each kind, more would reach into other kinds and make them one.
    """
    return edges_of(graph, max(FEWEST, round(math.sqrt(len(graph.index)) / 4)))


def stable_communities(
    edges: sp.csr_matrix, seed: int = 0, same: float = SAME
) -> Int[np.ndarray, " n"]:
    """Sort the images into communities that are found again when half of the images are sorted.

    Large modularity alone cuts one kind into pieces if its images vary in a row or a plane, for
    instance by size. Where these cuts lie is chance: with other images they lie elsewhere. The cut
    between two kinds stays. So communities are joined which are often sorted together (as in
    consensus clustering: Lancichinetti, Fortunato, "Consensus clustering in complex networks",
    2012), by average linkage. So are communities between which there are many edges: pieces of a
    cloud may be found again, but nothing parts them.

    Where kinds are surely parted (`parted`), they are the communities: pieces along one line, such
    as images that get darker, are found again as well, and have few edges between them.

    Args:
        edges: (N, N) symmetric weights.
        seed: seed of the images that are drawn, and of the order in which they are visited.
        same: communities that are sorted together more often than this are one, 0 to 1. Where kinds
            are surely parted, it is not used.

    Returns:
        (N,) the community of each image, 0 and up.
    """
    first = communities(edges, seed)
    if first.max(initial=0) == 0:
        return first
    if (sure := parted(edges, first)) is not None:
        return sure
    distance = 1 - together(edges, first, seed)
    np.fill_diagonal(distance, 0)
    tree = linkage(squareform(distance, checks=False), "average")
    return untouched(edges, fcluster(tree, 1 - same, "distance")[first] - 1)


def untouched(edges: sp.csr_matrix, labels: Int[np.ndarray, " n"]) -> Int[np.ndarray, " n"]:
    """Join the two communities that are connected best, until none are by more than `TOUCHING`.

    Args:
        edges: (N, N) symmetric weights.
        labels: community of each image, 0 to k - 1, none of them empty.
    """
    return next(joined for near, joined in joins(edges, labels) if near <= TOUCHING)


def parted(edges: sp.csr_matrix, labels: Int[np.ndarray, " n"]) -> Int[np.ndarray, " n"] | None:
    """Join communities until those that are left hardly touch, if there is such a state.

    Pieces of one kind touch, even if weakly. Kinds that clearly differ do not. So if the best
    connection falls steeply to almost nothing, the communities at that point are whole kinds, or
    several kinds each. No such point is found where kinds are alike, or in noise.

    Args:
        edges: (N, N) symmetric weights.
        labels: community of each image, 0 to k - 1, none of them empty.

    Returns:
        (N,) 0 and up. None: there is no such point, or one community would hold nearly all images.
    """
    levels = [*joins(edges, labels)][:-1]  # at least two communities
    if not levels or not edges.nnz:
        return None
    near = np.array([TOUCHING, *(each for each, _ in levels)])
    one_edge = 2 * np.arange(len(levels) + 1, 1, -1) / edges.sum()  # connection of mean communities
    fall = (near[:-1] + one_edge) / (near[1:] + one_edge)
    fall[near[1:] >= PARTED] = 0
    if fall.max() < FALL:
        return None
    found = levels[int(fall.argmax())][1]
    return found if np.bincount(found).max() <= LARGEST * len(found) else None


def surely_parted(edges: sp.csr_matrix, seeds: list[int]) -> list[Int[np.ndarray, " n"]] | None:
    """What `parted` finds with each seed; None if it is not the same number of parts each time."""
    found: list[Int[np.ndarray, " n"]] = []
    for seed in seeds:
        parts = parted(edges, communities(edges, seed))
        if parts is None or (found and parts.max() != found[0].max()):
            return None
        found.append(parts)
    return found


def joins(
    edges: sp.csr_matrix, labels: Int[np.ndarray, " n"]
) -> Iterator[tuple[float, Int[np.ndarray, " n"]]]:
    """Join the two communities that are connected best, again and again.

    Args:
        edges: (N, N) symmetric weights.
        labels: community of each image, 0 to k - 1, none of them empty.

    Yields:
        The connection of these two, and the communities before they are joined; at last 0 and a
        single community.
    """
    weight = weights_between(edges, labels, int(labels.max(initial=0)) + 1)
    while len(weight) > 1:
        near = connections(weight)
        np.fill_diagonal(near, -1.0)
        one, other = sorted(np.unravel_index(near.argmax(), near.shape))
        yield float(near[one, other]), labels
        weight[one] += weight[other]
        weight[:, one] += weight[:, other]
        weight = np.delete(np.delete(weight, other, 0), other, 1)
        labels = np.where(labels == other, one, labels - (labels > other))
    yield 0.0, labels


def weights_between(
    edges: sp.csr_matrix, labels: Int[np.ndarray, " n"], parts: int
) -> Float[np.ndarray, "k k"]:
    """Sum of the weights of edges between parts; inside a part each edge counts twice.

    Args:
        edges: (N, N) symmetric weights.
        labels: part of each image, 0 to k - 1.
        parts: k; a part may be empty.
    """
    n = len(labels)
    member = sp.csr_matrix((np.ones(n), (labels, np.arange(n))), (parts, n))
    return (member @ edges @ member.T).toarray()


def leaving(edges: sp.csr_matrix, labels: Int[np.ndarray, " n"]) -> float:
    """Share of the weight of edges that lead from one cluster to another."""
    each = edges.tocoo()
    return float(each.data[labels[each.row] != labels[each.col]].sum() / each.data.sum())


def connections(weight: Float[np.ndarray, "k k"]) -> Float[np.ndarray, "k k"]:
    """How well each two parts are connected: 1 if they are random halves of one, 0 if not at all.

    It is the normalised cut of the two alone (Shi, Malik, "Normalized cuts and image segmentation",
    2000), w_ab / (w_aa + w_ab) + w_ab / (w_bb + w_ab), at most 1 here.

    Args:
        weight: sum of the edges' weights between parts; inside a part each edge counts twice.
    """
    own = np.diag(weight)
    cut = weight / np.maximum(own[:, None] + weight, 1e-9) + weight / np.maximum(own + weight, 1e-9)
    np.fill_diagonal(cut, 0)
    return np.minimum(cut, 1)


def together(
    edges: sp.csr_matrix, labels: Int[np.ndarray, " n"], seed: int
) -> Float[np.ndarray, "k k"]:
    """How often images of two communities are sorted together, when half of all are sorted anew.

    Args:
        edges: (N, N) symmetric weights.
        labels: community of each image, 0 to k - 1.
        seed: as `stable_communities` has it.

    Returns:
        (k, k) from 0 to 1, with 1 on the diagonal.
    """
    rng, (n, k) = np.random.default_rng(seed), (len(labels), labels.max() + 1)
    often = np.zeros((k, k))
    for turn in range(RESAMPLES):
        rows = np.sort(rng.permutation(n)[: n // 2])
        new = communities(edges[rows][:, rows], seed + turn)
        share = np.zeros((k, new.max() + 1))
        np.add.at(share, (labels[rows], new), 1)
        share /= np.maximum(share.sum(1, keepdims=True), 1)
        often += share @ share.T
    own = np.sqrt(np.maximum(np.diag(often), 1e-9))
    often = np.minimum(often / np.outer(own, own), 1)
    np.fill_diagonal(often, 1)
    return often


def communities(edges: sp.csr_matrix, seed: int = 0) -> Int[np.ndarray, " n"]:
    """Sort the images into communities, as many as make the modularity large.

    It is the method of Louvain (Blondel, Guillaume, Lambiotte, Lefebvre, "Fast unfolding of
    communities in large networks", 2008).

    Args:
        edges: (N, N) symmetric weights.
        seed: seed of the order in which images are visited.

    Returns:
        (N,) the community of each image, 0 and up.
    """
    from sknetwork.clustering import Louvain  # programs that only open a run need not wait for it

    if not edges.nnz:
        return np.arange(edges.get_shape()[0])
    found = Louvain(shuffle_nodes=True, random_state=seed).fit_predict(edges)
    return np.asarray(found, dtype=int)
