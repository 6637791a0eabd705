"""Communities of graphs: kinds stay apart, and pieces of one kind are joined."""

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.neighbors import kneighbors_graph

from mcevae.runs.metrics import matched_accuracy
from mcevae.teaching import communities as communities_module
from mcevae.teaching.communities import (
    TOUCHING,
    communities,
    connections,
    joins,
    parted,
    stable_communities,
    surely_parted,
    weights_between,
)


def graph(points: np.ndarray) -> sp.csr_matrix:
    """The graph of the ten nearest neighbours of each point."""
    near = kneighbors_graph(points, 10)
    return sp.csr_matrix(near + near.T)


def test_pieces_of_one_kind_are_joined_and_kinds_are_not() -> None:
    rng = np.random.default_rng(0)
    cloud = graph(rng.normal(size=(200, 3)))
    pieces, found = communities(cloud), stable_communities(cloud)
    assert found.max() < pieces.max()
    for k in range(pieces.max() + 1):  # whole pieces, no other cuts
        assert len(np.unique(found[pieces == k])) == 1
    kinds = np.repeat(np.arange(4), 50)
    apart = graph(rng.normal(size=(200, 3)) + 6 * kinds[:, None])
    assert len(np.unique(stable_communities(apart))) == 4
    for k in range(4):
        assert len(np.unique(stable_communities(apart)[kinds == k])) == 1


def test_images_without_edges_are_communities_of_their_own() -> None:
    alone = sp.csr_matrix((5, 5))
    assert communities(alone).tolist() == [0, 1, 2, 3, 4]
    assert parted(alone, communities(alone)) is None


def test_pieces_with_many_edges_between_them_are_one() -> None:
    """A large cloud falls into pieces that are found again, but nothing parts them."""
    points = np.random.default_rng(2).normal(size=(900, 2)) * [3, 1]
    edges = graph(np.r_[points, points[:60] / 4 + 30])
    strict = stable_communities(edges, same=1.0)
    assert communities(edges).max() > 4
    between = connections(weights_between(edges, strict, int(strict.max()) + 1))
    assert between.max() <= TOUCHING and len(np.unique(strict[-60:])) == 1
    assert strict[-1] not in strict[:-60]


def test_the_same_seed_gives_the_same_communities() -> None:
    cloud = graph(np.random.default_rng(1).normal(size=(120, 3)))
    assert np.array_equal(stable_communities(cloud, 3), stable_communities(cloud, 3))
    one = sp.csr_matrix(np.ones((6, 6)) - np.eye(6))
    assert stable_communities(one).max() == 0


def lines(count: int, each: int, seed: int) -> tuple[sp.csr_matrix, np.ndarray]:
    """Kinds that vary along a long line, such as images that get darker, and the kind of each."""
    rng = np.random.default_rng(seed)
    kind = np.repeat(np.arange(count), each)
    points = rng.normal(size=(len(kind), 2))
    points[:, 0] += rng.uniform(0, 12, len(kind))
    points[:, 1] += 20 * kind
    return graph(points), kind


def test_kinds_that_vary_along_a_line_are_parted_and_not_cut() -> None:
    edges, kind = lines(3, 200, 0)
    found = communities(edges)
    assert found.max() + 1 > 3  # a large modularity cuts lines
    parts = surely_parted(edges, [0, 1, 2])
    assert parts is not None
    assert all(matched_accuracy(part, kind) == 1.0 for part in parts)
    assert matched_accuracy(stable_communities(edges), kind) == 1.0


def test_nothing_is_parted_in_a_cloud_or_beside_one_that_holds_nearly_all() -> None:
    rng = np.random.default_rng(0)
    cloud = graph(rng.normal(size=(400, 3)))
    assert parted(cloud, communities(cloud)) is None and surely_parted(cloud, [0, 1]) is None
    beside = graph(np.r_[rng.normal(size=(400, 3)), rng.normal(size=(40, 3)) + 30])
    assert parted(beside, communities(beside)) is None
    equal = graph(np.r_[rng.normal(size=(200, 3)), rng.normal(size=(200, 3)) + 30])
    halves = parted(equal, communities(equal))
    assert halves is not None and len(np.unique(halves[:200])) == 1 and halves[0] != halves[-1]


def test_with_few_images_a_chance_gap_parts_nothing() -> None:
    """Four kinds of five images: two of the joins are of one edge each, and then none are left."""
    block = sp.csr_matrix(np.ones((5, 5)) - np.eye(5))
    edges = sp.lil_matrix(sp.block_diag([block] * 4))
    for a, b in ((4, 5), (14, 15)):
        edges[a, b] = edges[b, a] = 1
    few, kind = sp.csr_matrix(edges), np.repeat(np.arange(4), 5)
    near = [each for each, _ in joins(few, kind)]
    assert near[1] > 0.05 and near[2] == 0  # steep, but for a single edge
    assert parted(few, kind) is None


def test_kinds_are_sure_only_if_each_seed_gives_as_many(monkeypatch: pytest.MonkeyPatch) -> None:
    edges, kind = lines(3, 50, 0)
    coming = iter([kind, kind, kind // 2])
    monkeypatch.setattr(communities_module, "parted", lambda *_: next(coming))
    found = surely_parted(edges, [0, 1])
    assert found is not None and len(found) == 2
    coming = iter([kind, kind // 2])
    assert surely_parted(edges, [0, 1]) is None


def test_parts_without_any_edge_between_them_are_joined_at_the_end() -> None:
    apart = sp.csr_matrix(sp.block_diag([np.ones((4, 4)) - np.eye(4)] * 3))
    levels = [*joins(apart, communities(apart))]
    assert [near for near, _ in levels] == [0.0, 0.0, 0.0]
    assert [int(labels.max()) for _, labels in levels] == [2, 1, 0]
