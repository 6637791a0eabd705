"""Clusters to start from: nearest neighbours under the tangent distance, laid out and split up.

Images come upright or nearly so. What a small change of pose or of stroke does to an image is free
(Simard, LeCun, Denker, "Efficient pattern recognition using a new transformation distance", 1993),
so that its neighbours share its content. UMAP (McInnes, Healy, Melville, 2018) spreads that graph
out in a few dimensions, where a Gaussian mixture finds the clusters. How well clusters fit the
graph is their modularity (Newman, Girvan, "Finding and evaluating community structure in networks",
2004): the share of edges that stay inside a cluster, less what chance alone would keep there. No
label is read.
"""

import math
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Float32, Int64
from sklearn.cluster import KMeans
from sklearn.metrics import normalized_mutual_info_score
from sklearn.mixture import GaussianMixture
from torch import Tensor

from mcevae.images.arrays import require, shrink
from mcevae.teaching.layout import umap

LAYOUT_DIM = 5
LAYOUT_EPOCHS = 200  # what UMAP itself takes for large sets; 500 gives the same accuracy
MIXTURE_STARTS = 5
SEARCH_STARTS = 2  # for each K that is tried: one is at times a poor one, five take long
RIDGE, RIGID = 0.02, 1e9  # of the tangent distance; the second makes it the plain distance
CHUNK_NUMBERS = 2**24  # floats held at once for one chunk of images, 64 MiB


@dataclass(frozen=True, kw_only=True)
class Grouping:
    """Clusters found in N images, on the CPU."""

    clusters: int
    """K, as asked for or as chosen."""
    labels: Int64[Tensor, " n"]
    """0 to K - 1, in no particular order."""
    confidence: Float[Tensor, " n"]
    """Posterior probability of that cluster under the mixture, 0 to 1."""
    agreement: float
    """Mean normalised mutual information with the other restarts, 0 to 1; NaN where none were."""
    duplicates: list[tuple[int, int]]
    """Pairs of clusters, smaller first, that would raise the graph's modularity by being one."""


def start_clusters(
    images: Float[Tensor, "n c h w"],
    clusters: int | None,
    *,
    most: int = 30,
    neighbours: int = 15,
    restarts: int = 3,
    by: Literal["tangent", "euclidean", "kmeans"] = "tangent",
    seed: int = 0,
) -> Grouping:
    """Sort images into K clusters, without labels and without a model.

    Where K is not given, it is the one whose clusters have the largest modularity on the neighbour
    graph, mean of the restarts, which falls again once like images are parted. It is a guide, not
    a law: like images in two slants may count as two.

    Layout and mixture depend on chance. Of the restarts the one is kept that agrees best with the
    others, among those with the fewest empty clusters and then the fewest duplicates; a
    `UserWarning` says where it has some.

    Args:
        images: (N, C, H, W) in [0, 1], in their canonical pose.
        clusters: K, 1 to N; None to choose it.
        most: largest K to choose, at least 2; N where that is smaller.
        neighbours: of each image in the graph, 1 to N - 1. More join clusters, fewer split them.
        restarts: layouts to choose from, at least 1.
        by: distance of the graph, tangent or Euclidean; kmeans leaves out graph and layout, to
            show what they are worth.
        seed: the same one gives the same clusters on the same machine, 0 or more.

    Raises:
        UserError: too few images for so many clusters or neighbours, or a count below 1.
    """
    n = len(images)
    if clusters is not None:
        require(clusters >= 1, f"There cannot be {clusters} clusters; ask for at least 1.")
        require(n >= clusters, f"{n} images cannot fill {clusters} clusters; give more images.")
    require(by != "kmeans" or clusters is not None, "k-means needs a number of clusters; give one.")
    require(most >= 2, f"At most {most} clusters leave no choice; allow at least 2.")
    require(restarts >= 1, f"There cannot be {restarts} restarts; ask for at least 1.")
    small = shrink(images)
    ridge = RIGID if by == "euclidean" else RIDGE
    graph, data = tangent_neighbours(small, neighbours, ridge=ridge), small.flatten(1).cpu().numpy()
    starts = np.random.RandomState(seed).randint(2**31 - 1, size=restarts).tolist()
    layouts = [data if by == "kmeans" else _layout(data, *graph, start) for start in starts]
    edges = _edges(graph[0])
    K = _best_count(layouts, edges, min(most, n), starts) if clusters is None else clusters
    split = _k_means if by == "kmeans" else _split
    found = [split(points, K, start) for points, start in zip(layouts, starts, strict=True)]
    labels = [probability.argmax(axis=1) for probability in found]
    agreement = _agreement(labels)
    filled = [len(np.unique(label)) for label in labels]
    duplicates = [_duplicates(label, edges, K) for label in labels]
    best = max(range(restarts), key=lambda i: (filled[i], -len(duplicates[i]), agreement[i]))
    remedy = "; ask for fewer" if clusters is not None else ""
    if (empty := K - filled[best]) > 0:
        warnings.warn(f"{empty} of {K} clusters are empty{remedy}.", stacklevel=2)
    if duplicates[best]:
        pairs = ", ".join(f"{a} and {b}" for a, b in duplicates[best])
        warnings.warn(f"Clusters {pairs} show the same{remedy}.", stacklevel=2)
    return Grouping(
        clusters=K,
        labels=torch.from_numpy(labels[best]),
        confidence=torch.from_numpy(found[best].max(axis=1)).float().clamp(0, 1),
        agreement=agreement[best],
        duplicates=duplicates[best],
    )


def tangent_neighbours(
    images: Float[Tensor, "n c h w"],
    k: int,
    *,
    candidates: int = 80,
    blur: float = 0.9,
    ridge: float = RIDGE,
) -> tuple[Int64[Tensor, "n k"], Float32[Tensor, "n k"]]:
    """Find the k images nearest to each, once small changes of that image are free.

    The squared distance from x to y is min_a |y - x - T a|^2 + sum_i l_i a_i^2: the one-sided
    tangent distance of Simard et al. (1993), with a penalty that keeps it from going far from x.
    The columns of T are what seven small changes do to x: two shifts, rotation, scale, two shears,
    thickness. It is not symmetric. Images are blurred first, so that tangents hold further out;
    those with more than 28 pixels on the longer side are shrunk to that.

    Args:
        images: (N, C, H, W) in [0, 1]. One change moves all channels.
        k: neighbours of each image, 1 to N - 1; an image is not its own neighbour.
        candidates: images nearest by plain distance, at least k, among which neighbours are sought.
        blur: standard deviation, in pixels of the images after shrinking; 0 for none.
        ridge: l_i as a share of the mean of |T_i|^2 over the images, > 0.

    Returns:
        Indices and distances (N, k), nearest first, on the device of the images. A distance is a
        Euclidean norm over pixels and channels, at least 0.

    Raises:
        UserError: there are not more than k images, or k is below 1.
    """
    n = len(images)
    require(k >= 1, f"There cannot be {k} neighbours; ask for at least 1.")
    require(n > k, f"{n} images do not have {k} neighbours each; give more, or ask for fewer.")
    smooth = _blur(shrink(images), blur)
    nearby = _nearest(smooth.flatten(1), min(max(candidates, k), n - 1))
    distances, order = _distances(smooth, nearby, ridge).sort(dim=1, stable=True)
    return nearby.gather(1, order[:, :k]), distances[:, :k].contiguous()


def _distances(
    smooth: Float32[Tensor, "n c h w"], nearby: Int64[Tensor, "n m"], ridge: float
) -> Float32[Tensor, "n m"]:
    """Tangent distance from each image to those that `nearby` names."""
    flat = smooth.flatten(1)
    n, pixels = flat.shape
    squares = [_tangents(smooth[some]).square().sum((0, 1)) for some in _chunks(n, 8 * pixels)]
    mean = torch.stack(squares).sum(0) / n
    penalty = torch.diag((ridge * mean).clamp_min(1e-8))  # blank images have no tangents
    distances = []
    for some in _chunks(n, nearby.shape[1] * pixels):
        T = _tangents(smooth[some])  # (B, P, 7)
        apart = flat[nearby[some]] - flat[some, None]  # (B, M, P)
        along = (apart @ T).mT  # (B, 7, M)
        a = torch.cholesky_solve(along, torch.linalg.cholesky(T.mT @ T + penalty))
        squared = torch.linalg.vector_norm(apart, dim=-1) ** 2 - (along * a).sum(1)
        distances.append(squared.clamp_min(0).sqrt())
    return torch.cat(distances)


def _chunks(count: int, numbers_each: int) -> Iterator[slice]:
    """Slices of `count` images, each of which takes so many numbers."""
    step = max(1, CHUNK_NUMBERS // numbers_each)
    return (slice(start, start + step) for start in range(0, count, step))


def _blur(images: Float32[Tensor, "n c h w"], deviation: float) -> Float32[Tensor, "n c h w"]:
    """Blur with a Gaussian; what lies outside is as the nearest pixel inside."""
    if deviation <= 0:
        return images
    radius = math.ceil(4 * deviation)
    offset = torch.arange(-radius, radius + 1, device=images.device) / deviation
    kernel = torch.softmax(-offset.square() / 2, dim=0)
    single = images.flatten(0, 1)[:, None]  # each channel alone
    padded = F.pad(single, (radius,) * 4, mode="replicate")
    across = F.conv2d(padded, kernel[None, None, None, :])
    return F.conv2d(across, kernel[None, None, :, None]).reshape(images.shape)


def _tangents(images: Float32[Tensor, "n c h w"]) -> Float32[Tensor, "n pixels 7"]:
    """Derivatives of each image by shifts, rotation, scale, two shears and thickness.

    Signs and units do not matter here, since the penalty is relative. Thickness is the squared
    gradient (Simard, LeCun, Denker, Victorri, "Transformation invariance in pattern recognition",
    1998).
    """
    height, width = images.shape[-2:]
    y = (torch.arange(height, device=images.device) + 0.5 - height / 2)[:, None] / height
    x = (torch.arange(width, device=images.device) + 0.5 - width / 2) / height
    dy, dx = torch.gradient(images, dim=(-2, -1))
    changes = [
        *(dx, dy, x * dy - y * dx, x * dx + y * dy, x * dx - y * dy, y * dx + x * dy),
        dx.square() + dy.square(),
    ]
    return torch.stack([change.flatten(1) for change in changes], dim=-1)


def _nearest(flat: Float32[Tensor, "n pixels"], count: int) -> Int64[Tensor, "n count"]:
    """Indices of the nearest others by Euclidean distance."""
    nearest = []
    for some in _chunks(len(flat), 2 * len(flat)):
        distance = torch.cdist(flat[some], flat)
        distance.diagonal(some.start).fill_(math.inf)  # not its own neighbour
        nearest.append(distance.topk(count, largest=False).indices)
    return torch.cat(nearest)


def _layout(data: np.ndarray, indices: Tensor, distances: Tensor, seed: int) -> np.ndarray:
    """Lay a graph out by UMAP: (N, 5). `data` (N, P) only places parts that nothing connects."""
    itself = torch.arange(len(data), device=indices.device)[:, None]
    indices = torch.cat([itself, indices], dim=1)  # UMAP counts each image as its own neighbour
    distances = F.pad(distances, (1, 0))
    return umap(
        data,
        n_neighbors=indices.shape[1],
        n_components=LAYOUT_DIM,
        min_dist=0.0,
        n_epochs=LAYOUT_EPOCHS,
        init="spectral" if len(data) > LAYOUT_DIM + 2 else "random",  # as eigenvectors allow
        precomputed_knn=(indices.cpu().numpy(), distances.cpu().numpy()),
        random_state=seed,
    )


def _split(
    points: np.ndarray, clusters: int, seed: int, starts: int = MIXTURE_STARTS
) -> np.ndarray:
    """Posterior probabilities (N, K) of the components of a Gaussian mixture."""
    mixture = GaussianMixture(
        clusters, n_init=starts, max_iter=500, reg_covar=1e-4, random_state=seed
    )
    return mixture.fit(points).predict_proba(points)


def _k_means(points: np.ndarray, clusters: int, seed: int) -> np.ndarray:
    """Clusters of the points themselves, one-hot (N, K)."""
    found = KMeans(clusters, n_init=MIXTURE_STARTS, random_state=seed).fit_predict(points)  # pyright: ignore[reportArgumentType]
    return np.eye(clusters)[found]


def _best_count(layouts: list[np.ndarray], edges: np.ndarray, most: int, seeds: list[int]) -> int:
    """K of 2 to `most` whose clusters have the largest modularity, mean of the layouts (N, 5)."""

    def modularity(clusters: int) -> float:
        total = 0.0
        for points, seed in zip(layouts, seeds, strict=True):
            labels = _split(points, clusters, seed, SEARCH_STARTS).argmax(axis=1)
            total += np.trace(_beyond_chance(labels, edges, clusters))
        return total

    return max(range(2, most + 1), key=modularity)


def _edges(indices: Int64[Tensor, "n k"]) -> np.ndarray:
    """Pairs of images (E, 2), each once, of which either is a neighbour of the other."""
    ends = indices.cpu().numpy()
    itself = np.broadcast_to(np.arange(len(ends))[:, None], ends.shape)
    return np.unique(np.sort(np.stack([itself.ravel(), ends.ravel()], axis=1), axis=1), axis=0)


def _beyond_chance(labels: np.ndarray, edges: np.ndarray, clusters: int) -> np.ndarray:
    """e_ab - a_a a_b of Newman and Girvan (2004), (K, K): shares of edges less what chance gives.

    e_ab is the share of edge ends in cluster a whose edge leads to b, a_a that of all ends in a.
    The trace is the modularity; to join a and b would add twice the entry (a, b) to it.
    """
    a, b = labels[edges].T
    one_way = np.bincount(a * clusters + b, minlength=clusters**2).reshape(clusters, clusters)
    share = (one_way + one_way.T) / (2 * len(edges))
    ends = share.sum(axis=1)
    return share - np.outer(ends, ends)


def _duplicates(labels: np.ndarray, edges: np.ndarray, clusters: int) -> list[tuple[int, int]]:
    """Pairs of clusters that would raise the modularity by being one."""
    gain = np.triu(_beyond_chance(labels, edges, clusters), k=1)
    return [(a, b) for a, b in np.argwhere(gain > 0).tolist()]


def _agreement(labels: list[np.ndarray]) -> list[float]:
    """Mean normalised mutual information of each labelling with the others, NaN for one alone."""
    if len(labels) == 1:
        return [math.nan]
    table = np.array([[normalized_mutual_info_score(a, b) for b in labels] for a in labels])
    return ((table.sum(axis=1) - 1) / (len(labels) - 1)).tolist()
