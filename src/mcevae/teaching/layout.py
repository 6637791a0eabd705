"""The map of the report: points in a plane, near each other if their images are alike."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import scipy.sparse as sp
import torch
from jaxtyping import Float, Int
from sklearn.decomposition import PCA
from sklearn.neighbors import NearestNeighbors
from torch import Tensor

LEAST = 10
"""If there are fewer points than this, their principal components are the map."""
FITTED = 5_000
"""Number of points that UMAP lays out. The other points are placed among them."""
MAP_EPOCHS = 100
"""Passes of UMAP over the edges of a map. Its own number is 200 to 500; on 2,000 digits neighbours
stay neighbours as well with 100 (trustworthiness 0.985 and 0.986), in a fifth of the time."""
COMPONENTS = 32
COMPARED = 60_000
"""Number of points from which principal components come; and so many are projected at a time."""
NEIGHBOURS = 3
LEAST_WIDTH, NEAR = 1e-3, 1e-5
"""UMAP's least width, as a share of the mean distance, and its tolerance."""
SAME = 1e-9
"""Points that are nearer than this in every coordinate count as one point."""


def umap_edges(
    indices: Int[np.ndarray, "n k"], distances: Float[np.ndarray, "n k"]
) -> sp.csr_matrix:
    """The weights (n, n) that UMAP gives the edges between neighbours, 0 to 1, symmetric.

    They are those of `umap.umap_.fuzzy_simplicial_set`, in NumPy: the compiler that UMAP uses takes
    longer for its functions than all of the rest takes.

    Args:
        indices: neighbours of each point, which counts as the first of its own.
        distances: to them, in ascending order.
    """
    n, k = indices.shape
    distances = distances.astype(np.float32)
    some = distances > 0
    nearest = np.where(some.any(1), distances[np.arange(n), some.argmax(1)], 0)[:, None]
    beyond = np.maximum(distances - nearest, 0)
    width = _widths(beyond[:, 1:], np.log2(k))
    least = np.where(nearest > 0, distances.mean(1, keepdims=True), distances.mean())
    width = np.maximum(width, LEAST_WIDTH * least)
    weights = np.where(beyond > 0, np.exp(-beyond / np.maximum(width, 1e-30)), 1.0)
    rows = np.repeat(np.arange(n), k)
    weights = np.where(indices.ravel() == rows, 0, weights.ravel())
    one_way = sp.csr_matrix((weights, (rows, indices.ravel())), (n, n))
    other = one_way.T
    both = sp.csr_matrix(one_way + other - one_way.multiply(other))
    both.eliminate_zeros()
    return both


def _widths(beyond: Float[np.ndarray, "n k"], goal: float) -> Float[np.ndarray, "n 1"]:
    """For each row d, the w for which exp(-d / w) has the sum `goal`, by bisection, (n, 1)."""
    low, high = np.zeros((len(beyond), 1)), np.full((len(beyond), 1), np.inf)
    width = np.ones_like(low)
    for _ in range(64):
        total = np.exp(-beyond / width).sum(1, keepdims=True)
        found, above = np.abs(total - goal) < NEAR, total > goal
        high = np.where(above & ~found, width, high)
        low = np.where(~above & ~found, width, low)
        wider = np.where(np.isinf(high), 2 * width, (low + high) / 2)
        width = np.where(found, width, wider)
        if found.all():
            break
    return width


def laid_out(
    edges: sp.csr_matrix,
    data: Float[np.ndarray, "n d"],
    dim: int,
    *,
    init: str | np.ndarray,
    seed: int,
    min_dist: float = 0.1,
    epochs: int | None = None,
) -> Float[np.ndarray, "n dim"]:
    """Lay a graph out by UMAP (McInnes, Healy, Melville, 2018), in one thread.

    Args:
        edges: as `umap_edges` gives them.
        data: the points; they place parts of the graph that have no connection.
        dim: number of dimensions.
        init: where points begin: spectral, random, or (n, dim) places.
        seed: seed of UMAP.
        min_dist: how near points may come to each other.
        epochs: number of passes over the edges. None: UMAP's own number.
    """
    with quiet_numba():
        from umap.umap_ import find_ab_params, simplicial_set_embedding  # takes seconds

        a, b = find_ab_params(1.0, min_dist)
        found, _ = simplicial_set_embedding(
            data,
            edges.copy(),  # it drops the weakest ones
            dim,
            initial_alpha=1.0,
            a=a,
            b=b,
            gamma=1.0,
            negative_sample_rate=5,
            n_epochs=epochs,
            init=init,
            random_state=np.random.RandomState(seed),
            metric="euclidean",
            metric_kwds={},
            densmap=False,
            densmap_kwds={},
            output_dens=False,
        )
    return np.asarray(found, dtype=np.float64)


@contextmanager
def quiet_numba() -> Iterator[None]:
    """Ignore UMAP's warnings, and keep the number of threads of torch."""
    with warnings.catch_warnings():
        # They are about parts that we do not use: TensorFlow, and placing new images.
        warnings.simplefilter("ignore")
        threads = torch.get_num_threads()
        try:
            yield
        finally:
            torch.set_num_threads(threads)  # numba sets OpenMP's number, which torch shares


def spread_over(count: int, most: int) -> Int[np.ndarray, " m"]:
    """At most so many of the numbers from 0 to `count` - 1, evenly spaced."""
    return np.unique(np.linspace(0, count - 1, most).astype(int))


def plane(features: Float[Tensor, "n d"], seed: int = 0) -> Float[np.ndarray, "n 2"]:
    """Lay points out in a plane, each axis from 0 to 1; the same seed gives the same map.

    UMAP lays out at most 5,000 points, evenly spaced in the list. Each other point goes to the
    mean of its three nearest ones among these, weighted by inverse distance. If all points are the
    same, they are in the middle.

    Args:
        features: the points.
        seed: seed of UMAP and of the principal components.
    """
    given = features.numpy()
    if np.ptp(given, axis=0).max() < SAME:
        return np.full((len(given), 2), 0.5)
    pca = PCA(min(COMPONENTS, *given.shape), svd_solver="randomized", random_state=seed)
    pca.fit(given[spread_over(len(given), COMPARED)].astype(np.float64))
    blocks = range(0, len(given), COMPARED)  # in double precision, all at once may be too many
    data = np.vstack([pca.transform(given[i : i + COMPARED].astype(float)) for i in blocks])
    if len(data) < LEAST:
        where = np.pad(data, ((0, 0), (0, 2)))[:, :2]
    else:
        chosen = spread_over(len(data), FITTED)
        neighbours = min(15, len(chosen) - 1)
        start = data[chosen, :2] / max(float(np.ptp(data[chosen, :2])), 1e-9) * 10
        start = np.pad(start, ((0, 0), (0, 2)))[:, :2]
        near = NearestNeighbors(n_neighbors=neighbours).fit(data[chosen])
        distance, index = near.kneighbors(data[chosen])
        edges = umap_edges(index, distance)
        fitted = laid_out(edges, data[chosen], 2, init=start, seed=seed, epochs=MAP_EPOCHS)
        where = fitted
        if len(chosen) < len(data):
            index = NearestNeighbors(n_neighbors=NEIGHBOURS).fit(data[chosen])
            distance, near = index.kneighbors(data)
            weight = 1 / (distance + 1e-9)
            weight /= weight.sum(1, keepdims=True)
            where = (fitted[near] * weight[..., None]).sum(1)
            where[chosen] = fitted
    low, high = where.min(0), where.max(0)
    return (where - low) / np.maximum(high - low, 1e-9)
