"""The communities of the invariant graph: how many kinds of images it shows by itself."""

import numpy as np
import scipy.sparse as sp
from jaxtyping import Int

from mcevae.runs.scores import effective_number

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
    import networkx as nx  # programs that only open a run need not wait for it

    graph = nx.from_scipy_sparse_array(edges)
    label = np.zeros(graph.number_of_nodes(), int)
    for k, images in enumerate(nx.community.louvain_communities(graph, seed=SEED)):
        label[list(images)] = k
    return label


def enough_of(edges: sp.csr_matrix, labels: Int[np.ndarray, " n"]) -> float:
    """The effective number of clusters, as a share of that of the communities; at most 1.

    Args:
        edges: (N, N) symmetric weights.
        labels: cluster of each image.
    """
    own, found = np.bincount(labels), np.bincount(communities(edges))
    return min(1.0, effective_number(own) / effective_number(found))
