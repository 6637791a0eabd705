"""First clusters: a graph of neighbours, laid out by UMAP and split by a Gaussian mixture.

UMAP (McInnes, Healy, Melville, 2018) lays the graph out in a few dimensions, and a Gaussian mixture
finds clusters there. Kinds of unequal size are found by joining pieces (`teaching.joining`).
Their number is given or chosen (`teaching.counting`). No label is read.
"""

import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int, Int64
from sklearn.cluster import KMeans
from sklearn.metrics import normalized_mutual_info_score
from torch import Tensor

from mcevae.images.arrays import Hints, require
from mcevae.teaching.communities import nearest_edges, surely_parted
from mcevae.teaching.consensus import consensus
from mcevae.teaching.counting import best_count, finer_count, mixture
from mcevae.teaching.duplicates import duplicates
from mcevae.teaching.graph import Neighbours
from mcevae.teaching.hinted import guided
from mcevae.teaching.joining import steadier
from mcevae.teaching.layout import laid_out, umap_edges
from mcevae.teaching.misplaced import misplaced
from mcevae.teaching.rings import Track

LAYOUT_DIM = 5
LAYOUT_EPOCHS = 50  # UMAP takes 200 to 500; on 11 sets of images, 50 gave the same accuracy
K_MEANS_STARTS = 5
CLEARLY = 0.01
"""A labelling is clearly better if it puts fewer images wrongly, by this share of all."""
COUNTED = 3  # restarts that choose a number of clusters, which takes long
SHARED = 3
"""Restarts on each graph, at most, where there are several."""
UNSURE = 0.1
"""A graph on which restarts agree less by this than on the first one does not count."""


@dataclass(frozen=True, kw_only=True)
class Grouping:
    """Clusters found in N images, on the CPU."""

    clusters: int
    """The number of clusters K, given or chosen."""
    labels: Int64[Tensor, " n"]
    """0 to K - 1, in no particular order."""
    agreement: float
    """How well restarts agree: mean normalised mutual information of the best one with the others
    on its graph, 0 to 1; NaN with a single one."""
    duplicates: list[tuple[int, int]]
    """Pairs of clusters, smaller number first, that look like parts of one cluster."""
    backing: Float[Tensor, " n"] | None = None
    """Share of the neighbours of each image that have its cluster; None: there is no graph."""


def start_clusters(
    images: Float[Tensor, "n numbers"],
    graph: Neighbours | None,
    clusters: int | None,
    *,
    others: Sequence[Neighbours] = (),
    most: int = 30,
    restarts: int = 5,
    seed: int = 0,
    hints: Hints | None = None,
    track: Track = iter,
) -> Grouping:
    """Sort images into K clusters, without labels and without a model.

    If K is not given, it is chosen (`teaching.counting`). The result is a guide: the same things in
    two slants may count as two. A `UserWarning` says if it is the largest K that was tried.

    Where the graph falls into K parts that surely differ, with each seed
    (`communities.surely_parted`), these are the clusters. Elsewhere, and with hints, the graph is
    laid out, and a mixture is fitted.

    A mixture splits large clusters before it finds small ones. If restarts agree better on clusters
    that are joined from pieces (`teaching.joining`), these are taken.

    Layout and mixture depend on chance, so there are several restarts, and what they have in common
    (`teaching.consensus`). Of all, those with the fewest empty clusters are kept, of these those
    with the fewest duplicates. Of these, what they have in common is taken. But if the graph says
    that a restart is clearly better (`teaching.misplaced`), a restart is taken: the one that agrees
    best with the others, unless another is clearly better. A `UserWarning` says if it has empty
    clusters or duplicates.

    Graphs of other descriptions of the images make mistakes of other kinds, so what restarts on all
    graphs have in common is better than what those on any one of them have.

    Args:
        images: anything that describes the images. It places parts of the graph that have no
            connection, and k-means splits it.
        graph: the neighbours of each image. None: k-means on `images`, to show what the graph is
            worth.
        clusters: K, 1 to N; None to choose it.
        others: neighbours by other descriptions. They take no part in choosing K, or with hints.
        most: largest K to choose, at least 2; never more than N.
        restarts: number of restarts, at least 1.
        seed: seed, 0 or more. The same seed gives the same clusters on the same machine.
        hints: what a person said of some images. Cluster k then has label k, and pieces are not
            joined; a K that is chosen is at least the number of labels.
        track: wraps the restarts, to show progress and to stop in between.

    Raises:
        UserError: there are too few images for the clusters, or a count is below 1.
    """
    check_counts(len(images), clusters, most, restarts)
    require(
        graph is not None or clusters is not None, "k-means needs a number of clusters; give one."
    )
    starts = np.random.RandomState(seed).randint(2**31 - 1, size=restarts).tolist()
    near = None if graph is None or hints is not None else nearest_edges(graph)
    parts = None if near is None else surely_parted(near, starts)
    tried = min(most, len(images))
    data = images.cpu().numpy()
    graphs = [] if graph is None else [graph, *(others if hints is None else ())]
    if len(graphs) > 1:
        starts = starts[:SHARED]
    K, labels = _labellings(data, graph, clusters, parts, starts, tried, hints, track)
    if labels is parts:
        graphs = graphs[:1]  # nothing is left to ask
    more = [_labellings(data, one, K, None, starts, tried, None, track)[1] for one in graphs[1:]]
    labels, agreement, graphs = _sure([labels, *more], graphs)
    if len(graphs) > 1:
        near = None  # one of several graphs cannot judge
    best_of = len(labels)
    common = consensus(labels, K) if hints is None else None
    if common is not None:
        labels.append(common)
    filled = [len(np.unique(label)) for label in labels]
    pairs = [duplicates(label, graphs, K) for label in labels]
    good = [(full, -len(some)) for full, some in zip(filled, pairs, strict=True)]
    best = max(range(best_of), key=lambda i: (good[i], agreement[i]))
    kept = best if common is None else _steady(good, _wrong(labels, near), best)
    limited = clusters is None and most == K
    _warn(K, K - filled[kept], pairs[kept], limited=limited, asked=clusters is not None)
    return Grouping(
        clusters=K,
        labels=torch.from_numpy(labels[kept].astype(np.int64)),
        agreement=agreement[best],
        duplicates=pairs[kept],
        backing=None if graph is None else backing_of(graph, torch.from_numpy(labels[kept])),
    )


def _labellings(
    data: Float[np.ndarray, "n numbers"],
    graph: Neighbours | None,
    clusters: int | None,
    parts: list[Int[np.ndarray, " n"]] | None,
    seeds: list[int],
    most: int,
    hints: Hints | None,
    track: Track,
) -> tuple[int, list[Int[np.ndarray, " n"]]]:
    """Choose K if it is not given, and sort the images into K clusters, once with each seed.

    Args:
        data: as `images` of `start_clusters`, like all that is not said here.
        parts: kinds that are surely parted, with each seed. They are the clusters if there are K.
        seeds: one for each restart.
    """
    count = 0 if parts is None else int(parts[0].max()) + 1
    if parts is not None and clusters == count:
        return count, parts
    edges = None if graph is None else _edges(graph)
    layouts = [data if edges is None else _layout(data, edges, seed) for seed in track(seeds)]
    first = slice(COUNTED)
    K = clusters
    if K is None and parts is not None:
        K = finer_count(layouts[first], count, most, seeds[first])
        if count == K:
            return K, parts
    elif K is None:
        assert graph is not None  # it was required above
        K = best_count(layouts[first], graph.index, most, seeds[first])
        K = max(K, len(hints.names) if hints else 0)
    split = _way_to_split(edges, hints)
    restarts = track([*zip(layouts, seeds, strict=True)])
    labels = [split(points, K, seed) for points, seed in restarts]
    if edges is not None and hints is None:
        labels = steadier(labels, layouts, edges, K, seeds)
    return K, labels


def backing_of(graph: Neighbours, labels: Int[Tensor, " n"]) -> Float[Tensor, " n"]:
    """Share of the neighbours of each image that have its cluster, 0 to 1.

    Args:
        graph: the images and their neighbours.
        labels: their clusters.
    """
    return (labels[graph.index.cpu()] == labels[:, None]).float().mean(1)


def _sure(
    labels: list[list[np.ndarray]], graphs: list[Neighbours]
) -> tuple[list[np.ndarray], list[float], list[Neighbours]]:
    """Labellings on the graphs that count, their agreement on their own graph, and these graphs.

    The first graph always counts.

    Args:
        labels: labellings on each graph, or by k-means alone.
        graphs: the graphs; none for k-means.
    """
    agreement = [_agreement(some) for some in labels]
    least = max(agreement[0]) - UNSURE
    kept = [i for i, some in enumerate(agreement) if not max(some) < least]  # all, if it is NaN
    return (
        [label for i in kept for label in labels[i]],
        [one for i in kept for one in agreement[i]],
        [graph for i, graph in enumerate(graphs) if i in kept],
    )


def _wrong(labels: list[np.ndarray], edges: sp.csr_matrix | None) -> list[float]:
    """Share of images that each labelling is expected to put wrongly; 0 if nobody knows."""
    found = None if edges is None else misplaced(labels, edges)
    return found or [0.0] * len(labels)


def _steady(good: list[tuple[int, int]], wrong: list[float], best: int) -> int:
    """Choose what restarts have in common, which is the last labelling, or a better restart.

    Args:
        good: number of filled clusters, and minus the number of duplicates, of each labelling.
        wrong: share of images that each is expected to put wrongly.
        best: the restart that agrees best with the others.
    """
    common = len(good) - 1
    able = [i for i, one in enumerate(good) if one == max(good)]
    least = min(able, key=lambda i: wrong[i])
    if common in able and wrong[common] <= wrong[least] + CLEARLY:
        return common
    return best if best in able and wrong[best] <= wrong[least] + CLEARLY else least


def _way_to_split(
    edges: sp.csr_matrix | None, hints: Hints | None
) -> Callable[[np.ndarray, int, int], np.ndarray]:
    """What sorts points (N, D) into K clusters, with a seed: by hints, if there are any."""
    if edges is None:
        return _k_means
    if hints is None:
        return mixture
    return lambda points, clusters, seed: guided(points, edges, clusters, hints, seed)


def _warn(
    clusters: int, empty: int, duplicates: list[tuple[int, int]], *, limited: bool, asked: bool
) -> None:
    """Warn of too few, empty and duplicate clusters.

    Args:
        clusters: K.
        empty: number of empty ones.
        duplicates: pairs that can hardly be told apart.
        limited: whether this is the largest K that was tried.
        asked: whether somebody asked for K.
    """
    if limited:
        more = "if there are more kinds, give their number"
        warnings.warn(f"{clusters} clusters are the most that are tried; {more}.", stacklevel=3)
    if empty > 0:
        remedy = "; ask for fewer" if asked else ""
        warnings.warn(f"{empty} of {clusters} clusters are empty{remedy}.", stacklevel=3)
    if duplicates:
        pairs = ", ".join(f"{a} and {b}" for a, b in duplicates)
        # In strong noise, things that differ can look like this too.
        remedy = "; if they show the same, ask for fewer" if asked else ""
        warnings.warn(f"Clusters {pairs} can hardly be told apart{remedy}.", stacklevel=3)


def check_counts(images: int, clusters: int | None, most: int, restarts: int) -> None:
    """Refuse numbers that cannot be.

    Raises:
        UserError: there are too few images for the clusters, or a count is below 1.
    """
    if clusters is not None:
        require(clusters >= 1, f"There cannot be {clusters} clusters; ask for at least 1.")
        few = f"{images} images are too few for {clusters} clusters; give more images."
        require(images >= clusters, few)
    require(most >= 2, f"The largest number of clusters to try is {most}; give 2 or more.")
    require(restarts >= 1, f"There cannot be {restarts} restarts; ask for at least 1.")


def _layout(data: np.ndarray, edges: sp.csr_matrix, seed: int) -> np.ndarray:
    """Lay a graph out by UMAP, (N, 5). `data` (N, P) only places parts without any connection."""
    return laid_out(
        edges,
        data,
        LAYOUT_DIM,
        init="spectral" if len(data) > LAYOUT_DIM + 2 else "random",  # few points, few eigenvectors
        seed=seed,
        min_dist=0.0,
        epochs=LAYOUT_EPOCHS,
    )


def _edges(graph: Neighbours) -> sp.csr_matrix:
    """UMAP's edges between neighbours; an image is its own first one."""
    itself = torch.arange(len(graph.index), device=graph.index.device)[:, None]
    indices = torch.cat([itself, graph.index], dim=1)
    return umap_edges(indices.cpu().numpy(), F.pad(graph.distance, (1, 0)).cpu().numpy())


def _k_means(points: np.ndarray, clusters: int, seed: int) -> np.ndarray:
    """Clusters of the points by k-means, (N,)."""
    return KMeans(clusters, n_init=K_MEANS_STARTS, random_state=seed).fit_predict(points)  # pyright: ignore[reportArgumentType]


def _agreement(labels: list[np.ndarray]) -> list[float]:
    """Mean normalised mutual information of each labelling with the others; NaN for a single
    one."""
    if len(labels) == 1:
        return [math.nan]
    table = np.array([[normalized_mutual_info_score(a, b) for b in labels] for a in labels])
    return ((table.sum(axis=1) - 1) / (len(labels) - 1)).tolist()
