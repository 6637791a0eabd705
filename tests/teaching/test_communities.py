"""Communities of graphs: kinds stay apart, and pieces of one kind are joined."""

import numpy as np
import scipy.sparse as sp
from sklearn.neighbors import kneighbors_graph

from mcevae.teaching.communities import (
    TOUCHING,
    communities,
    connections,
    stable_communities,
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
    assert communities(sp.csr_matrix((5, 5))).tolist() == [0, 1, 2, 3, 4]


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
