"""How many images labellings put wrongly, told from a graph alone."""

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from sklearn.neighbors import NearestNeighbors

from mcevae.teaching import cluster
from mcevae.teaching import misplaced as module
from mcevae.teaching.cluster import CLEARLY, _steady, start_clusters
from mcevae.teaching.graph import Graph
from mcevae.teaching.misplaced import misplaced
from mcevae.teaching.rings import Turn

SIZES = {"six": 100, "nine": 100, "seven": 90, "barred": 10, "one": 100}
KIND = np.repeat(np.arange(5), list(SIZES.values()))


def graph(near: dict[tuple[int, int], float], seed: int = 0) -> sp.csr_matrix:
    """Each image has edges to about 12 others of its kind; `near` says how many to other kinds."""
    rng = np.random.default_rng(seed)
    degree = np.diag([12.0 / size for size in SIZES.values()])
    for (a, b), edges in near.items():
        degree[a, b] = degree[b, a] = edges / max(np.bincount(KIND)[[a, b]])
    upper = np.triu(rng.uniform(size=(len(KIND), len(KIND))) < degree[KIND][:, KIND], k=1)
    return sp.csr_matrix((upper | upper.T).astype(float))


def together(*pairs: tuple[int, int]) -> np.ndarray:
    """The kinds, with some of them joined."""
    labels = KIND.copy()
    for a, b in pairs:
        labels[labels == b] = a
    return labels


def test_to_join_large_kinds_is_worse_than_to_join_a_small_one() -> None:
    """Though there are more edges between the large ones."""
    edges = graph({(0, 1): 0.6, (2, 3): 0.1})
    large, small = together((0, 1)), together((2, 3))
    found = misplaced([large, large, small], edges)
    assert found is not None
    assert found[0] == found[1] == pytest.approx(0.25, abs=0.02)
    assert found[2] == pytest.approx(10 / 400, abs=0.01)


def test_to_split_one_kind_is_worse_than_to_leave_it_whole() -> None:
    edges = graph({})
    split = KIND.copy()
    split[np.flatnonzero(KIND == 4)[:40]] = 5
    found = misplaced([KIND, split], edges)
    assert found is not None and found[0] == 0
    assert found[1] == pytest.approx(40 / 400, abs=0.02)


def test_numbers_of_clusters_do_not_matter_and_many_pieces_say_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    edges = graph({(0, 1): 0.6})
    other = np.array([4, 2, 0, 1, 3])[KIND]
    assert misplaced([KIND, together((0, 1))], edges) == misplaced([other, together((0, 1))], edges)
    monkeypatch.setattr(module, "MOST", 4)
    assert misplaced([KIND, other], edges) is None


def test_what_all_have_in_common_is_left_only_for_something_clearly_better() -> None:
    good = [(5, 0)] * 3
    assert _steady(good, [0.1, 0.1, 0.1 + CLEARLY / 2], best=0) == 2
    assert _steady(good, [0.1, 0.1, 0.1 + 2 * CLEARLY], best=1) == 1
    assert _steady(good, [0.0, 0.1, 0.1], best=1) == 0
    assert _steady([(5, -1), (5, 0), (5, -1)], [0.0, 0.1, 0.0], best=1) == 1  # duplicates


def test_a_kind_that_another_labelling_cuts_in_two_still_counts_where_it_is_joined() -> None:
    edges = graph({})
    cut = KIND.copy()
    cut[np.flatnonzero(KIND == 1)[:50]] = 5
    found = misplaced([together((0, 1)), KIND, cut], edges)
    assert found is not None
    assert found[0] == pytest.approx(0.25, abs=0.02)
    assert found[1] == 0 and found[2] == pytest.approx(0.125, abs=0.02)


def test_a_labelling_without_empty_clusters_is_taken_whatever_it_puts_wrongly() -> None:
    assert _steady([(4, 0), (4, 0), (5, 0)], [0.0, 0.1, 0.3], best=0) == 2


def test_the_start_takes_a_restart_that_joins_few_images_wrongly(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Two of three restarts take large kinds for one, and have that in common."""
    rng = np.random.default_rng(0)
    middle = rng.normal(0, 1, (5, 6))
    points = torch.from_numpy(6 * middle[KIND] + rng.normal(0, 0.3, (400, 6))).float()
    distance, index = NearestNeighbors(n_neighbors=8).fit(points).kneighbors()
    turn = Turn(
        likeness=torch.zeros(3200), angle=torch.zeros(3200), mirrored=torch.zeros(3200).bool()
    )
    near = Graph(
        index=torch.from_numpy(index), distance=torch.from_numpy(distance).float(), turn=turn
    )
    large, small = together((0, 1)), together((2, 3))
    coming = iter(np.unique(one, return_inverse=True)[1] for one in (large, small, large))
    monkeypatch.setattr(cluster, "_layout", lambda data, *_: data)
    monkeypatch.setattr(cluster, "mixture", lambda *_: next(coming))
    monkeypatch.setattr(cluster, "steadier", lambda labels, *_: labels)
    found = start_clusters(points, near, 4, restarts=3).labels.numpy()
    assert len(np.unique(np.stack([found, small]), axis=1).T) == 4
