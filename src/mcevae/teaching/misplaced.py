"""How many images a labelling puts wrongly, as far as a graph can tell.

Most restarts may make the same mistake, so that they agree on it: of digits in any direction, they
take 6 and 9 for one kind, and a few sevens with a bar for another. The graph shows few edges
between 6 and 9, and fewer between the sevens, so both should be kept apart; but to join 6 and 9
puts a tenth of the images wrongly, and to join the sevens a hundredth.

Pieces are the images that all labellings put together. Two of them are of two kinds with a
probability that falls with the edges between them (`communities.connections`). In each cluster,
pieces of one kind are put together first. Then each part but the largest is wrong if it is of
another kind than the rest. Of two clusters, the smaller one is wrong if they are of one kind.
"""

import numpy as np
import scipy.sparse as sp
from jaxtyping import Int

from mcevae.teaching.communities import connections, untouched, weights_between

TWO, ONE = 0.1, 0.3
"""Parts that are connected less than `TWO` are of two kinds, and of one beyond `ONE`. Pieces of one
kind: 0.2 and more; two kinds: at most 0.15."""
MOST = 500
"""Pieces, at most: with more, the labellings have too little in common."""


def misplaced(labellings: list[Int[np.ndarray, " n"]], edges: sp.csr_matrix) -> list[float] | None:
    """Estimate the share of images that each labelling puts wrongly.

    Args:
        labellings: clusters of the images, with numbers from 0.
        edges: (N, N), as `communities.nearest_edges` gives them.

    Returns:
        Shares, which may be above 1. None: there are very many pieces.
    """
    pieces, of, size = np.unique(
        np.stack(labellings, 1), axis=0, return_inverse=True, return_counts=True
    )
    if len(pieces) > MOST:
        return None
    weight = sp.csr_matrix(weights_between(edges, of.ravel(), len(pieces)))
    return [
        (joined(weight, size, cluster) + split(weight, size, cluster)) / int(size.sum())
        for cluster in pieces.T
    ]


def joined(
    weight: sp.csr_matrix, size: Int[np.ndarray, " p"], cluster: Int[np.ndarray, " p"]
) -> float:
    """Expected number of images that are in a cluster with more images of another kind.

    Args:
        weight: (p, p) of the edges between pieces; inside a piece each edge counts twice.
        size: of each piece.
        cluster: of each piece.
    """
    wrong = 0.0
    for k in np.unique(cluster):
        own = np.flatnonzero(cluster == k)
        inner = weight[own][:, own]
        part = untouched(inner, np.arange(len(own)))
        edges = weights_between(inner, part, int(part.max()) + 1)
        total, inside = np.bincount(part, size[own]), np.diag(edges)
        cut = edges.sum(1) - inside  # to the rest of the cluster
        rest = edges.sum() - inside - 2 * cut
        near = cut / np.maximum(inside + cut, 1e-9) + cut / np.maximum(rest + cut, 1e-9)
        wrong += float(np.delete(two_kinds(near) * total, total.argmax()).sum())
    return wrong


def split(
    weight: sp.csr_matrix, size: Int[np.ndarray, " p"], cluster: Int[np.ndarray, " p"]
) -> float:
    """Expected number of images in the smaller of two clusters of one kind, over all pairs.

    Arguments are as for `joined`.
    """
    between = weights_between(weight, cluster, int(cluster.max()) + 1)
    total = np.bincount(cluster, size)
    one_kind = 1 - two_kinds(connections(between))
    return float(np.triu(one_kind * np.minimum(total[:, None], total), 1).sum())


def two_kinds(connection: np.ndarray) -> np.ndarray:
    """Probability that two parts, connected so well, are of two kinds."""
    return np.clip((ONE - connection) / (ONE - TWO), 0, 1)
