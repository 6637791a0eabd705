"""What the invariant graph says about the clusters of images.

No network made this graph. So it can say that clusters which a network is sure of do not hold.
"""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from jaxtyping import Float, Int
from sklearn.cluster import SpectralClustering
from sklearn.manifold import spectral_embedding

from mcevae.teaching.communities import connections, weights_between

RESAMPLES = 4
"""How many times some of the images are clustered anew."""
KEPT = 0.8
"""Share of the images that are clustered anew."""
LEAST_PART = 0.15
"""Share of a cluster that a part of it has at least, when we look for two kinds in it."""
WHOLE = 0.12
"""The halves of one kind are hardly ever connected less well than this."""
FEW = 20
"""A cluster with fewer images is not looked into."""


@dataclass(frozen=True, kw_only=True)
class Links:
    """Numbers of K clusters, each (K,).

    Attributes:
        neighbours: mean share of the edges of an image that stay in its cluster, 0 to 1.
        stable: how well the cluster is found again when images are clustered anew without the
            network (mean Jaccard index of its images with the most similar new cluster), 0 to 1.
        halves: how well the cluster's two best halves are connected, as a share of `WHOLE`, 0 to 1:
            0 if no edge leads from one to the other, so that the cluster is surely two.
        nearest: how well the cluster is connected with the one that it is connected with best,
            measured in the same way: near 1 if both are halves of one.
        other: that cluster; -1 if there is none.
    """

    neighbours: Float[np.ndarray, " k"]
    stable: Float[np.ndarray, " k"]
    halves: Float[np.ndarray, " k"]
    nearest: Float[np.ndarray, " k"]
    other: Int[np.ndarray, " k"]


def links(
    edges: sp.csr_matrix, labels: Int[np.ndarray, " n"], clusters: int, seed: int = 0
) -> Links:
    """Measure how the clusters of images lie in their graph.

    Args:
        edges: (N, N), as `communities.edges_of` gives them.
        labels: cluster of each image.
        clusters: K.
        seed: of the images that are clustered anew.
    """
    filled, own = np.unique(labels, return_inverse=True)  # a run may ask for many, and fill few
    weight = weights_between(edges, own, len(filled))
    total = np.maximum(weight.sum(1), 1e-9)
    between = connections(weight)
    halves = [whole(edges, np.flatnonzero(labels == k)) for k in filled]

    def each(values: np.ndarray | list[float], empty: float) -> np.ndarray:
        spread = np.full(clusters, empty, np.asarray(values).dtype)
        spread[filled] = values
        return spread

    return Links(
        neighbours=each(np.diag(weight) / total, 0.0),
        stable=each(found_again(edges, own, clusters, seed), 0.0),
        halves=each(halves, 1.0),
        nearest=each(between.max(1), 0.0),
        other=each(filled[between.argmax(1)] if len(filled) > 1 else [-1], -1),
    )


def found_again(
    edges: sp.csr_matrix, labels: Int[np.ndarray, " n"], clusters: int, seed: int
) -> Float[np.ndarray, " k"]:
    """How well clusters are found by spectral clustering of random parts of the images; `Links`.

    (Shi, Malik, 2000; Damle, Minden, Ying, "Simple, direct and efficient multi-way spectral
    clustering", 2019; Hennig, "Cluster-wise assessment of cluster stability", 2007.)
    """
    rng, n = np.random.default_rng(seed), len(labels)
    alike = np.zeros((RESAMPLES, labels.max() + 1))
    for turn in range(RESAMPLES):
        rows = np.sort(rng.permutation(n)[: max(clusters, round(KEPT * n))])
        method = SpectralClustering(
            min(clusters, len(rows) - 1),
            affinity="precomputed",
            assign_labels="cluster_qr",
            random_state=seed + turn,
        )
        with parts_allowed():
            new = method.fit_predict(edges[rows][:, rows])
        both = np.zeros((labels.max() + 1, new.max() + 1))
        np.add.at(both, (labels[rows], new), 1)
        union = both.sum(1, keepdims=True) + both.sum(0) - both
        alike[turn] = (both / np.maximum(union, 1)).max(1)
    return alike.mean(0)


def whole(edges: sp.csr_matrix, rows: Int[np.ndarray, " m"]) -> float:
    """`Links.halves` of a cluster of the images `rows`."""
    return min(1.0, halved(edges, rows) / WHOLE)


def halved(edges: sp.csr_matrix, rows: Int[np.ndarray, " m"]) -> float:
    """Connection of the two parts into which a cluster falls most easily; 1 if it has few images.

    All parts along the second eigenvector are tried that hold at least `LEAST_PART` of the images.
    """
    if len(rows) < FEW:
        return 1.0
    own = edges[rows][:, rows]
    with parts_allowed():
        place = spectral_embedding(own, n_components=1, random_state=0)  # the Fiedler vector
    order = np.argsort(place[:, 0])
    own = sp.csr_matrix(own[order][:, order])
    degree = np.asarray(own.sum(1)).ravel()
    upper = np.asarray(sp.triu(own, k=1).sum(1)).ravel()  # to images further along
    lower = degree - upper - own.diagonal()  # to images before
    cut = np.cumsum(upper - lower)  # from the first i + 1 images to the others
    first = np.cumsum(degree)
    last = first[-1] - first
    least = max(1, round(LEAST_PART * len(rows)))
    at = slice(least - 1, len(rows) - least)
    found = cut[at] / np.maximum(first[at], 1e-9) + cut[at] / np.maximum(last[at], 1e-9)
    return float(min(1.0, found.min()))


@contextmanager
def parts_allowed() -> Iterator[None]:
    """Ignore the warning that a graph has several parts: then these are what is looked for."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Graph is not fully connected")
        yield
