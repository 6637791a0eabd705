"""The communities of a graph of images: how many kinds of images it shows by itself."""

import numpy as np
import scipy.sparse as sp
from jaxtyping import Float, Int
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import squareform

RESAMPLES = 8
"""How many times half of the images are sorted anew."""
SAME = 0.15
"""Parts that are sorted together more often than this, as a share of how often each is sorted
together with itself, are one. Pieces of one kind: 0.1 to 0.6; two digits: hardly ever."""


def stable_communities(edges: sp.csr_matrix, seed: int = 0) -> Int[np.ndarray, " n"]:
    """Sort the images into communities that are found again when half of the images are sorted.

    Large modularity alone cuts one kind into pieces if its images vary in a row or a plane, for
    instance by size. Where these cuts lie is chance: with other images they lie elsewhere. The cut
    between two kinds stays. So communities are joined which are often sorted together (as in
    consensus clustering: Lancichinetti, Fortunato, "Consensus clustering in complex networks",
    2012), by average linkage.

    Args:
        edges: (N, N) symmetric weights.
        seed: seed of the images that are drawn, and of the order in which they are visited.

    Returns:
        (N,) the community of each image, 0 and up.
    """
    first = communities(edges, seed)
    if first.max(initial=0) == 0:
        return first
    distance = 1 - together(edges, first, seed)
    np.fill_diagonal(distance, 0)
    tree = linkage(squareform(distance, checks=False), "average")
    return fcluster(tree, 1 - SAME, "distance")[first] - 1


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
    import networkx as nx  # programs that only open a run need not wait for it

    graph = nx.from_scipy_sparse_array(edges)
    label = np.zeros(graph.number_of_nodes(), int)
    for k, images in enumerate(nx.community.louvain_communities(graph, seed=seed)):
        label[list(images)] = k
    return label
