"""Clusters to start from: nearest neighbours under the tangent distance, laid out and split up.

Images come upright or nearly so. What a small change of pose or of stroke does to an image is free
(Simard, LeCun, Denker, "Efficient pattern recognition using a new transformation distance", 1993),
so that its neighbours share its content. UMAP (McInnes, Healy, Melville, 2018) spreads that graph
out in a few dimensions, where a Gaussian mixture finds the clusters. No label is read.
"""

import math
import warnings
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Float32, Int64
from sklearn.metrics import normalized_mutual_info_score
from sklearn.mixture import GaussianMixture
from torch import Tensor

from mcevae.images import require
from mcevae.warp import side

LONGER_SIDE = 28  # pixels; more would cost time, and blur takes away what they show
LAYOUT_DIM = 5
LAYOUT_EPOCHS = 200  # what UMAP itself takes for large sets; 500 gives the same accuracy
MIXTURE_STARTS = 5
CHUNK_NUMBERS = 2**24  # floats held at once for one chunk of images, 64 MiB


@dataclass(frozen=True, kw_only=True)
class Grouping:
    """Clusters found in N images, on the CPU."""

    labels: Int64[Tensor, " n"]
    """0 to K - 1, in no particular order."""
    confidence: Float[Tensor, " n"]
    """Posterior probability of that cluster under the mixture, 0 to 1."""
    agreement: float
    """Mean normalised mutual information with the other restarts, 0 to 1; NaN where none were."""


def start_clusters(
    images: Float[Tensor, "n c h w"],
    clusters: int,
    *,
    neighbours: int = 15,
    restarts: int = 3,
    seed: int = 0,
) -> Grouping:
    """Sort images into K clusters, without labels and without a model.

    Layout and mixture depend on chance. Of the restarts the one is kept that agrees best with the
    others, among those with the fewest empty clusters; a `UserWarning` says where it has some.

    Args:
        images: (N, C, H, W) in [0, 1], in their canonical pose.
        clusters: K, 1 to N.
        neighbours: of each image in the graph, 1 to N - 1. More join clusters, fewer split them.
        restarts: layouts to choose from, at least 1.
        seed: the same one gives the same clusters on the same machine, 0 or more.

    Raises:
        UserError: too few images for so many clusters or neighbours, or a count below 1.
    """
    n = len(images)
    require(clusters >= 1, f"There cannot be {clusters} clusters; ask for at least 1.")
    require(restarts >= 1, f"There cannot be {restarts} restarts; ask for at least 1.")
    require(n >= clusters, f"{n} images cannot fill {clusters} clusters; give more images.")
    small = _shrink(images)
    graph, data = tangent_neighbours(small, neighbours), small.flatten(1).cpu().numpy()
    starts = np.random.RandomState(seed).randint(2**31 - 1, size=restarts).tolist()
    found = [_split(_layout(data, *graph, start), clusters, start) for start in starts]
    labels = [probability.argmax(axis=1) for probability in found]
    agreement = _agreement(labels)
    filled = [len(np.unique(label)) for label in labels]
    best = max(range(restarts), key=lambda i: (filled[i], agreement[i]))
    if (empty := clusters - filled[best]) > 0:
        warnings.warn(f"{empty} of {clusters} clusters are empty; ask for fewer.", stacklevel=2)
    return Grouping(
        labels=torch.from_numpy(labels[best]),
        confidence=torch.from_numpy(found[best].max(axis=1)).float().clamp(0, 1),
        agreement=agreement[best],
    )


def tangent_neighbours(
    images: Float[Tensor, "n c h w"],
    k: int,
    *,
    candidates: int = 80,
    blur: float = 0.9,
    ridge: float = 0.02,
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
    smooth = _blur(_shrink(images), blur)
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


def _shrink(images: Float[Tensor, "n c h w"]) -> Float32[Tensor, "n c small_h small_w"]:
    """Images of at most `LONGER_SIDE` pixels a side, as float32."""
    height, width = images.shape[-2:]
    ratio = LONGER_SIDE / side(height, width)
    if ratio >= 1:
        return images.float()
    small = (max(2, round(height * ratio)), max(2, round(width * ratio)))
    return F.interpolate(images.float(), size=small, mode="bilinear", antialias=True)


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
    with warnings.catch_warnings():
        # It tells of parts we do not use: TensorFlow, and placing new images.
        warnings.simplefilter("ignore")
        from umap import UMAP  # some seconds to import, and only needed here

        umap = UMAP(
            n_neighbors=indices.shape[1],
            n_components=LAYOUT_DIM,
            min_dist=0.0,
            n_epochs=LAYOUT_EPOCHS,
            init="spectral" if len(data) > LAYOUT_DIM + 2 else "random",  # as eigenvectors allow
            precomputed_knn=(indices.cpu().numpy(), distances.cpu().numpy()),
            random_state=seed,
            n_jobs=1,
        )
        threads = torch.get_num_threads()
        try:
            return np.asarray(umap.fit_transform(data), dtype=np.float64)
        finally:
            torch.set_num_threads(threads)  # numba sets OpenMP's number, which torch shares


def _split(points: np.ndarray, clusters: int, seed: int) -> np.ndarray:
    """Posterior probabilities (N, K) of the components of a Gaussian mixture."""
    mixture = GaussianMixture(
        clusters, n_init=MIXTURE_STARTS, max_iter=500, reg_covar=1e-4, random_state=seed
    )
    return mixture.fit(points).predict_proba(points)


def _agreement(labels: list[np.ndarray]) -> list[float]:
    """Mean normalised mutual information of each labelling with the others, NaN for one alone."""
    if len(labels) == 1:
        return [math.nan]
    table = np.array([[normalized_mutual_info_score(a, b) for b in labels] for a in labels])
    return ((table.sum(axis=1) - 1) / (len(labels) - 1)).tolist()
