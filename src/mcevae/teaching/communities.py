"""The communities of a graph of images: how many kinds of images it shows by itself."""

import numpy as np
import scipy.sparse as sp
from jaxtyping import Int


def communities(edges: sp.csr_matrix, seed: int = 0) -> Int[np.ndarray, " n"]:
    """Sort the images into communities, as many as the graph shows.

    It is the method of Louvain, which makes the modularity large (Blondel, Guillaume, Lambiotte,
    Lefebvre, "Fast unfolding of communities in large networks", 2008).

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
