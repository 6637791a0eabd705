"""How many clusters a graph of images has, without labels.

Modularity says how well clusters fit the graph (Newman, Girvan, "Finding and evaluating community
structure in networks", 2004): it is the share of edges inside clusters, minus the share expected by
chance. It falls when similar images are split into two clusters.

Where kinds are surely parted (`communities.parted`), there are at least as many clusters as parts.
Kinds that make one part are told apart if mixtures cut them alike in all layouts.

Elsewhere, two methods propose a number. The communities of the graph need no layout and lose no
kind, but split large ones. Mixtures on a layout are steadier, but join kinds that the layout puts
side by side; then they fit the graph worse than its communities do.
"""

import math

import numpy as np
import scipy.sparse as sp
from jaxtyping import Float, Int, Int64
from sklearn.mixture import GaussianMixture
from torch import Tensor

from mcevae.teaching.communities import communities
from mcevae.teaching.joining import agreed

MIXTURE_STARTS = 5
SEARCH_STARTS = 2  # for each K that is tried: a single start is sometimes poor, five take long
TIE = 0.002  # of modularity: numbers of clusters that it cannot tell apart
WORSE = (
    0.01  # of modularity: mixtures that fit worse than the communities by this have joined kinds
)
ALIKE = 0.9995  # adjusted Rand index of layouts that are cut alike
FEWER, MORE = 0.7, 1.3  # numbers of clusters to try, as shares of the number of communities


def best_count(
    layouts: list[Float[np.ndarray, "n d"]],
    neighbours: Int64[Tensor, "n k"],
    most: int,
    seeds: list[int],
) -> int:
    """Choose the number of clusters K, from 2 to `most`.

    Numbers around that of the communities of the graph are tried. The one whose mixtures have the
    largest modularity is taken. Of several that differ by less than `TIE`, it is the one on which
    the layouts agree best. If these mixtures fit the graph worse than the communities, by more than
    `WORSE`, the number of communities is taken. Numbers and modularities of restarts are averaged,
    numbers by the median.

    Args:
        layouts: the images, laid out, one layout for each restart.
        neighbours: neighbours of each image.
        most: largest K, at least 2.
        seeds: seed of each restart.
    """
    edges = pairs(neighbours)
    found = [communities(symmetric(edges, len(neighbours)), seed) for seed in seeds]
    count = math.ceil(np.median([each.max() + 1 for each in found]))
    fit = np.mean([modularity(each, edges) for each in found])
    first, last = (min(most, max(2, round(share * count))) for share in (FEWER, MORE))
    fits, agreement = {}, {}
    for K in range(first, last + 1):
        labels = mixtures(layouts, K, seeds)
        fits[K] = np.mean([modularity(each, edges) for each in labels])
        agreement[K] = agreed(labels) if len(labels) > 1 else 0.0
    best = max(fits.values())
    if fit > best + WORSE:
        return min(most, max(2, count))
    tied = [K for K, value in fits.items() if value > best - TIE]
    return max(tied, key=lambda K: (round(agreement[K], 2), fits[K]))


def finer_count(
    layouts: list[Float[np.ndarray, "n d"]], parts: int, most: int, seeds: list[int]
) -> int:
    """Choose K where kinds are surely parted: at least as many as there are parts.

    Some parts hold several kinds that touch. Mixtures with more components cut between these, and
    do so alike in all layouts. Cuts through a kind lie elsewhere in each layout. A single layout
    has nothing to be compared with: then K is the number of parts.

    Args:
        layouts: the images, laid out, one layout for each restart.
        parts: their number.
        most: largest K.
        seeds: seed of each restart.
    """
    K = min(parts, most)
    while len(layouts) > 1 and min(most, len(layouts[0]) - 1) > K:
        if agreed(mixtures(layouts, K + 1, seeds)) < ALIKE:
            break
        K += 1
    return K


def mixtures(
    layouts: list[Float[np.ndarray, "n d"]], clusters: int, seeds: list[int]
) -> list[Int[np.ndarray, " n"]]:
    """Clusters of each layout by `mixture`, with few starts: many numbers are tried."""
    return [
        mixture(points, clusters, seed, SEARCH_STARTS)
        for points, seed in zip(layouts, seeds, strict=True)
    ]


def mixture(
    points: Float[np.ndarray, "n d"], clusters: int, seed: int, starts: int = MIXTURE_STARTS
) -> Int[np.ndarray, " n"]:
    """Sort points into the likeliest components of a Gaussian mixture.

    Args:
        points: images, laid out.
        clusters: K.
        seed: seed of its starts.
        starts: number of starts, of which the likeliest is taken.
    """
    found = GaussianMixture(
        clusters, n_init=starts, max_iter=500, reg_covar=1e-4, random_state=seed
    )
    return found.fit_predict(points)


def pairs(neighbours: Int64[Tensor, "n k"]) -> Int[np.ndarray, "e 2"]:
    """List pairs of images, each once, in which one is a neighbour of the other.

    Args:
        neighbours: neighbours of each image.
    """
    ends = neighbours.cpu().numpy()
    itself = np.broadcast_to(np.arange(len(ends))[:, None], ends.shape)
    return np.unique(np.sort(np.stack([itself.ravel(), ends.ravel()], axis=1), axis=1), axis=0)


def modularity(labels: Int[np.ndarray, " n"], edges: Int[np.ndarray, "e 2"]) -> float:
    """Share of the edges that lie inside clusters, less the share expected by chance.

    Newman and Girvan (2004), equation 5.

    Args:
        labels: cluster of each image.
        edges: pairs of images.
    """
    a, b = labels[edges].T
    ends = np.bincount(np.concatenate([a, b])) / (2 * len(edges))
    return float(np.mean(a == b) - np.square(ends).sum())


def symmetric(edges: Int[np.ndarray, "e 2"], images: int) -> sp.csr_matrix:
    """Weights (N, N): 1 for each pair."""
    one_way = sp.csr_matrix((np.ones(len(edges)), tuple(edges.T)), (images, images))
    return sp.csr_matrix(one_way + one_way.T)
