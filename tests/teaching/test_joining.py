"""Pieces are joined into clusters of any size, and only where restarts agree better on them."""

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.neighbors import NearestNeighbors

from mcevae.runs.metrics import matched_accuracy
from mcevae.teaching import joining
from mcevae.teaching.joining import agreed, cut, join_pieces, steadier
from mcevae.teaching.layout import umap_edges

SIZES = (1500, 300, 60, 20)


def unequal(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Points of four kinds of very unequal size in a plane, and their kinds.

    The largest kind is a long band, which a mixture would split.
    """
    rng = np.random.default_rng(seed)
    kind = np.repeat(np.arange(4), SIZES)
    middle = np.array([[0, 0], [0, 6], [4, 6], [-4, 6]])[kind]
    spread = np.array([[9, 0.7], [0.7, 0.7], [0.5, 0.5], [0.4, 0.4]])[kind]
    return middle + spread * rng.uniform(-1, 1, (len(kind), 2)), kind


def neighbours_of(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Ten neighbours of each point, itself the first, and their distances."""
    distance, index = NearestNeighbors(n_neighbors=10).fit(points).kneighbors(points)
    return index, distance.astype(np.float32)


def edges_of(points: np.ndarray) -> sp.csr_matrix:
    graph = NearestNeighbors(n_neighbors=10).fit(points).kneighbors_graph()
    return sp.csr_matrix(graph + graph.T)


def test_kinds_of_very_unequal_size_are_found() -> None:
    points, kind = unequal(0)
    joined = join_pieces(points, edges_of(points), 4, seed=0)
    assert matched_accuracy(joined.labels, kind) == 1.0
    assert joined.connection == 0.0  # no edge leads from kind to kind
    assert join_pieces(points, edges_of(points), 5, seed=0).connection > 0.005


def test_as_many_clusters_as_asked_even_if_nothing_is_connected() -> None:
    points, _ = unequal(1)
    for clusters in (2, 3, 40):
        labels = join_pieces(points, edges_of(points), clusters, seed=0).labels
        assert np.unique(labels).tolist() == list(range(clusters))


def test_joined_pieces_replace_a_mixture_that_restarts_do_not_agree_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    points, kind = unequal(2)
    near, seeds = umap_edges(*neighbours_of(points)), [0, 1, 2]
    rng = np.random.default_rng(0)
    unsure = [np.where(kind == 0, rng.integers(0, 4, len(kind)), kind) for _ in seeds]
    found = steadier(unsure, [points] * 3, near, 4, seeds)
    assert all(matched_accuracy(labels, kind) == 1.0 for labels in found)
    sure = [np.arange(len(kind)) % 4] * 3  # wrong, but the restarts agree
    assert agreed(sure) == 1.0
    assert steadier(sure, [points] * 3, near, 4, seeds) is sure
    assert cut(found, edges_of(points)) == 0.0
    assert 0.3 < cut(unsure, edges_of(points)) < 0.8
    assert steadier(unsure[:1], [points], near, 4, seeds[:1]) is not found  # nothing to compare
    monkeypatch.setattr(joining, "APART", -1.0)  # as in noise, where all is connected
    assert steadier(unsure, [points] * 3, near, 4, seeds) is unsure
