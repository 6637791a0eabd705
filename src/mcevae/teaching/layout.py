"""The map of the report: points in a plane, near each other if their images are alike."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch
from jaxtyping import Float, Int
from sklearn.decomposition import PCA
from sklearn.neighbors import NearestNeighbors
from torch import Tensor

LEAST = 10
"""If there are fewer points than this, their principal components are the map."""
FITTED = 10_000
"""Number of points that UMAP lays out. The other points are placed among them."""
COMPONENTS = 32
NEIGHBOURS = 3
SAME = 1e-9
"""Points that are nearer than this in every coordinate count as one point."""


def umap(data: np.ndarray, **options: Any) -> np.ndarray:
    """UMAP (McInnes, Healy, Melville, 2018) of points (n, d), without warnings, in one thread.

    Args:
        data: the points.
        options: options of `umap.UMAP`, such as random_state.
    """
    with quiet_numba():
        from umap import UMAP  # takes seconds to import

        found = UMAP(n_jobs=1, **options).fit_transform(data)
    return np.asarray(found, dtype=np.float64)


def umap_edges(
    indices: Int[np.ndarray, "n k"], distances: Float[np.ndarray, "n k"], seed: int = 0
) -> sp.csr_matrix:
    """The weights (n, n) that UMAP gives the edges between neighbours, 0 to 1, symmetric.

    Args:
        indices: neighbours of each point, which counts as the first of its own.
        distances: to them.
        seed: seed of UMAP.
    """
    with quiet_numba():
        from umap.umap_ import fuzzy_simplicial_set

        weights = fuzzy_simplicial_set(
            np.zeros((len(indices), 1), np.float32),  # is not read, since neighbours are known
            n_neighbors=indices.shape[1],
            random_state=np.random.RandomState(seed),
            metric="euclidean",
            knn_indices=indices,
            knn_dists=distances,
        )[0]
    return sp.csr_matrix(weights)


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


def plane(features: Float[Tensor, "n d"], seed: int = 0) -> Float[np.ndarray, "n 2"]:
    """Lay points out in a plane, each axis from 0 to 1; the same seed gives the same map.

    UMAP lays out at most 10,000 points, evenly spaced in the list. Each other point goes to the
    mean of its three nearest ones among these, weighted by inverse distance. If all points are the
    same, they are in the middle.

    Args:
        features: the points.
        seed: seed of UMAP and of the principal components.
    """
    data = features.numpy().astype(np.float64)
    if np.ptp(data, axis=0).max() < SAME:
        return np.full((len(data), 2), 0.5)
    count = min(COMPONENTS, len(data), data.shape[1])
    data = PCA(count, svd_solver="randomized", random_state=seed).fit_transform(data)
    if len(data) < LEAST:
        where = np.pad(data, ((0, 0), (0, 2)))[:, :2]
    else:
        chosen = np.unique(np.linspace(0, len(data) - 1, FITTED).astype(int))
        neighbours = min(15, len(chosen) - 1)
        start = data[chosen, :2] / max(float(np.ptp(data[chosen, :2])), 1e-9) * 10
        start = np.pad(start, ((0, 0), (0, 2)))[:, :2]
        fitted = umap(data[chosen], n_neighbors=neighbours, init=start, random_state=seed)
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
