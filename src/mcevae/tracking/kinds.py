"""Kinds of paths, by the graph and the clusters that sort images as well."""

import warnings
from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, Int

from mcevae.images.arrays import require
from mcevae.teaching.cluster import start_clusters
from mcevae.teaching.communities import stable_communities
from mcevae.teaching.counting import pairs, symmetric
from mcevae.teaching.described import closest
from mcevae.teaching.graph import Neighbours
from mcevae.tracking.describing import described

SHORTEST = 8
"""Points of a path that has a kind."""
NEIGHBOURS, SHARE = 15, 1 / 15
"""Neighbours of a path: at least so many, and this share of all, since paths of one form vary in a
few ways only (how many turns a circle has), along which fewer neighbours would cut it."""
SEED = 0


def kinds_of(
    paths: Sequence[Float[np.ndarray, "_ 2"]],
    kinds: int | Literal["auto"],
    *,
    handed: bool = False,
) -> Int[np.ndarray, " n"]:
    """Sort paths by their forms, wherever they begin, however they are turned, however large.

    Args:
        paths: places (x, y) at equal times.
        kinds: how many; auto: as many as are found.
        handed: a path and its mirror image are different kinds.

    Returns:
        Numbers of the kinds from 0, the most frequent first; -1 of paths with fewer than 8 points.

    Raises:
        UserError: too few paths have 8 points.
    """
    long = np.flatnonzero([len(path) >= SHORTEST for path in paths])
    least = 3 if kinds == "auto" else max(kinds, 3)
    require(
        len(long) >= least,
        f"{len(long)} tracks with {SHORTEST} frames or more are too few for --kinds {kinds}; give "
        "a longer film, or leave it out.",
    )
    features = described([paths[i] for i in long.tolist()], handed=handed)
    graph = graph_of(features)
    count = stable_count(graph) if kinds == "auto" else kinds
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # they advise on images and flags of fit
        found = start_clusters(features, graph, count, seed=SEED).labels.numpy()
    order = np.argsort(-np.bincount(found), kind="stable")
    labels = np.full(len(paths), -1)
    labels[long] = np.argsort(order)[found]
    return labels


def stable_count(graph: Neighbours) -> int:
    """The number of communities that surely differ, or else that are found again when half of the
    paths are sorted."""
    edges = symmetric(pairs(graph.index), len(graph.index))
    return int(stable_communities(edges, SEED).max()) + 1


def graph_of(features: Float[torch.Tensor, "n f"]) -> Neighbours:
    """The nearest neighbours of descriptions."""
    count = max(NEIGHBOURS, int(SHARE * len(features)))
    index, distance = closest(features, min(count, len(features) - 1))
    return Neighbours(index=index, distance=distance)
