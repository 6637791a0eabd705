"""Clusters of very unequal size: many small pieces of a layout, joined along the graph.

A Gaussian mixture with K components would rather split a large cluster than give a small one a
component of its own. So the layout is cut into many more pieces than clusters. Then the two pieces
that are best connected, for their own numbers of edges, become one, until K are left. This is
agglomeration by the normalised cut (Shi, Malik, "Normalized cuts and image segmentation", 2000).
"""

from dataclasses import dataclass
from itertools import combinations

import numpy as np
import scipy.sparse as sp
from jaxtyping import Float, Int
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score

from mcevae.teaching.communities import leaving, weights_between

PIECES = 8
"""Pieces for each cluster, as long as a piece has `LEAST` images on average."""
LEAST = 5
STARTS = 2
GAIN = 0.05
"""Joined pieces are taken if restarts agree better on them by this, in adjusted Rand index."""
LESS_CUT = 0.02
"""They are taken if they cut this much less of all edges, as a share of their weight. Where kinds
are hardly connected at all, both cut next to nothing, and the graph cannot tell which is right."""
APART = 0.3
"""They are taken if their `connection` is below this. In strong noise everything is connected, and
joining makes one very large cluster."""


@dataclass(frozen=True, kw_only=True)
class Joined:
    """Clusters made of pieces.

    Attributes:
        labels: (N,) the cluster of each image, 0 to K - 1.
        connection: of the two clusters that would have been joined next; 0 if none are connected.
            It is the sum of the shares of their edges that lead from one to the other.
    """

    labels: Int[np.ndarray, " n"]
    connection: float


def join_pieces(
    points: Float[np.ndarray, "n d"], edges: sp.csr_matrix, clusters: int, seed: int
) -> Joined:
    """Cut points into pieces by k-means, and join pieces until K are left.

    Args:
        points: images, laid out.
        edges: (N, N) symmetric weights of the edges between them.
        clusters: K, at least 2 and at most N.
        seed: seed of k-means.
    """
    n = len(points)
    pieces = max(clusters, min(PIECES * clusters, n // LEAST))
    piece = KMeans(pieces, n_init=STARTS, random_state=seed).fit_predict(points)  # pyright: ignore[reportArgumentType]
    weight = weights_between(edges, piece, pieces)
    cluster, left = np.arange(pieces), pieces
    while True:
        ends = np.maximum(weight.sum(1), 1e-12)
        connection = np.triu(weight * (1 / ends[:, None] + 1 / ends), k=1)
        a, b = np.unravel_index(connection.argmax(), connection.shape)
        if left <= clusters:
            break
        if connection[a, b] == 0:  # nothing is connected: the smallest joins the next
            alive, sizes = np.unique(cluster, return_counts=True)
            a, b = np.sort(alive[sizes.argsort()[:2]])
        weight[a] += weight[b]
        weight[:, a] += weight[:, b]
        weight[b] = weight[:, b] = 0
        cluster[cluster == b] = a
        left -= 1
    labels = np.unique(cluster[piece], return_inverse=True)[1]
    return Joined(labels=labels.astype(np.int64), connection=float(connection[a, b]))


def steadier(
    split: list[Int[np.ndarray, " n"]],
    layouts: list[Float[np.ndarray, "n d"]],
    edges: sp.csr_matrix,
    clusters: int,
    seeds: list[int],
) -> list[Int[np.ndarray, " n"]]:
    """Return the clusters of joined pieces, if restarts agree clearly better on them.

    They must also cut fewer edges, and be apart from each other.

    Args:
        split: the clusters of each restart, found by a mixture.
        layouts: the points of each restart.
        edges: of the graph, as `umap_edges` gives them.
        clusters: K.
        seeds: seed of each restart.
    """
    if clusters < 2 or len(split) < 2 or len(layouts[0]) < 2 * LEAST * clusters:
        return split
    joined = [
        join_pieces(points, edges, clusters, seed)
        for points, seed in zip(layouts, seeds, strict=True)
    ]
    labels = [each.labels for each in joined]
    better = (
        agreed(labels) > agreed(split) + GAIN
        and cut(labels, edges) < cut(split, edges) - LESS_CUT
        and np.mean([each.connection for each in joined]) < APART
    )
    return labels if better else split


def cut(labels: list[Int[np.ndarray, " n"]], edges: sp.csr_matrix) -> float:
    """Share of the edges' weight that leads from cluster to cluster, mean over labellings."""
    return float(np.mean([leaving(edges, each) for each in labels]))


def agreed(labels: list[Int[np.ndarray, " n"]]) -> float:
    """Mean adjusted Rand index of all pairs of labellings."""
    return float(np.mean([adjusted_rand_score(a, b) for a, b in combinations(labels, 2)]))
