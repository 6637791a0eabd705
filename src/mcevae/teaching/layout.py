"""Points in a plane, near one another where images are alike: the map of the report."""

import warnings
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from sklearn.decomposition import PCA
from sklearn.neighbors import NearestNeighbors
from torch import Tensor

LEAST = 10
"""Fewer points than this are laid out by their principal components."""
FITTED = 10_000
"""Points that UMAP lays out itself; the others are placed among them."""
COMPONENTS = 32
NEIGHBOURS = 3
SAME = 1e-9
"""Points that are nearer in every coordinate are one."""


def umap(data: np.ndarray, **options: Any) -> np.ndarray:
    """UMAP (McInnes, Healy, Melville, 2018) of (n, d) without its warnings, one thread.

    Args:
        data: points.
        options: of `umap.UMAP`, random_state among them.
    """
    with warnings.catch_warnings():
        # It tells of parts we do not use: TensorFlow, and placing new images.
        warnings.simplefilter("ignore")
        from umap import UMAP  # some seconds to import, and only needed here

        threads = torch.get_num_threads()
        try:
            found = UMAP(n_jobs=1, **options).fit_transform(data)
        finally:
            torch.set_num_threads(threads)  # numba sets OpenMP's number, which torch shares
    return np.asarray(found, dtype=np.float64)


def plane(features: Float[Tensor, "n d"], seed: int = 0) -> Float[np.ndarray, "n 2"]:
    """Lay points out in a plane, each axis from 0 to 1; the same seed gives the same map.

    UMAP lays out at most 10,000 of them, evenly chosen; each other point goes to the mean of its
    three nearest ones among those, weighted by inverse distance. Points that are all one lie in the
    middle.
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
