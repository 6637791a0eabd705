"""The communities of the invariant graph: how many kinds of images it shows by itself."""

import networkx as nx
import numpy as np
import scipy.sparse as sp
from jaxtyping import Int

SEED = 0


def communities(edges: sp.csr_matrix) -> Int[np.ndarray, " n"]:
    """Sort the images into communities, as many as the graph shows.

    It is the method of Louvain, which makes the modularity large (Blondel, Guillaume, Lambiotte,
    Lefebvre, "Fast unfolding of communities in large networks", 2008).

    Args:
        edges: (N, N) symmetric weights.

    Returns:
        (N,) the community of each image, 0 and up.
    """
    graph = nx.from_scipy_sparse_array(edges)
    label = np.zeros(graph.number_of_nodes(), int)
    for k, images in enumerate(nx.community.louvain_communities(graph, seed=SEED)):
        label[list(images)] = k
    return label


def effective_number(labels: Int[np.ndarray, " n"]) -> float:
    """The number of equally large clusters with the same entropy as these."""
    share = np.bincount(labels) / max(len(labels), 1)
    share = share[share > 0]
    return float(np.exp(-(share * np.log(share)).sum()))


def enough_of(edges: sp.csr_matrix, labels: Int[np.ndarray, " n"]) -> float:
    """The effective number of clusters, as a share of that of the communities; at most 1.

    Args:
        edges: (N, N) symmetric weights.
        labels: cluster of each image.
    """
    return min(1.0, effective_number(labels) / effective_number(communities(edges)))
