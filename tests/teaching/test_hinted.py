"""Clusters that follow hints, on points whose kinds are known."""

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from sklearn.neighbors import kneighbors_graph

from mcevae.base.errors import UserError
from mcevae.images.arrays import NO_HINT, Hints
from mcevae.teaching.hinted import first_with_hints, guided, placed, renumbered

KIND = np.repeat(np.arange(4), 50)
CENTRES = np.array([[0, 0], [6, 0], [0, 6], [9, 9]], float)
"""Kinds 0 to 2 are equally far from each other."""


def drawn(seed: int = 0) -> tuple[np.ndarray, sp.csr_matrix]:
    points = CENTRES[KIND] + np.random.default_rng(seed).normal(size=(200, 2))
    near = kneighbors_graph(points, 8)
    return points, sp.csr_matrix(near.maximum(near.T))


def hints(of: dict[int, int], names: int, apart: tuple[tuple[int, int], ...] = ()) -> Hints:
    column = torch.full((200,), NO_HINT)
    for row, component in of.items():
        column[row] = component
    return Hints(names=tuple("abcd"[:names]), of=column, apart=apart)


def test_clusters_have_the_numbers_of_their_labels() -> None:
    points, edges = drawn()
    order = [2, 0, 3, 1]
    said = hints({50 * kind + 7: order[kind] for kind in range(4)}, 4)
    found = guided(points, edges, 4, said, seed=0)
    assert (found == np.array(order)[KIND]).mean() > 0.97


def test_kinds_without_a_label_are_the_last_clusters() -> None:
    points, edges = drawn()
    found = guided(points, edges, 4, hints({60: 0}, 1), seed=0)
    assert (found[KIND == 1] == 0).mean() > 0.97
    assert {*found[KIND != 1]} == {1, 2, 3}
    for kind in (0, 2, 3):
        assert np.bincount(found[kind == KIND]).max() > 47


def test_labels_part_what_a_mixture_would_join() -> None:
    """Two clusters: of three kinds, labels say which two belong together."""
    points, edges = drawn()
    rows = KIND != 3
    points, edges = points[rows], edges[rows][:, rows]
    for lone in range(3):
        of = torch.full((150,), NO_HINT)
        for kind in range(3):
            of[50 * kind : 50 * kind + 10] = int(kind == lone)
        found = guided(points, edges, 2, Hints(names=("a", "b"), of=of, apart=()), seed=0)
        assert (found == (KIND[rows] == lone)).mean() > 0.97


def test_a_wrong_label_harms_its_own_image_only() -> None:
    points, edges = drawn()
    right = {50 * kind + i: kind for kind in range(4) for i in range(10)}
    found = guided(points, edges, 4, hints({**right, 5: 3, 105: 1}, 4), seed=0)
    wrong = set(np.flatnonzero(found != KIND).tolist()) - {5, 105}
    base = guided(points, edges, 4, hints(right, 4), seed=0)
    assert found[5] == 3 and found[105] == 1
    assert len(wrong) <= (base != KIND).sum() + 2


def test_pairs_pull_together_and_apart() -> None:
    belief = np.full((200, 3), 0.01)
    belief[np.arange(200), np.minimum(KIND, 2)] = 0.98
    belief[150, :] = (0.3, 0.1, 0.6)
    together = placed(belief, hints({0: 0, 1: 0, 60: 0}, 0))
    assert together[0] == together[1] == together[60] == 0 and together[5] == NO_HINT
    apart = placed(belief, hints({120: 0, 150: 1}, 0, apart=((0, 1),)))
    assert apart[120] == 2 and apart[150] == 0  # which loses less
    fixed = placed(belief, hints({120: 0, 121: 1}, 1, apart=((0, 1),)))
    assert fixed[120] == 0 and fixed[121] == 2


def test_more_labels_than_clusters_are_refused() -> None:
    points, edges = drawn()
    with pytest.raises(UserError, match=r"has 4 labels, but there are only 3 clusters"):
        guided(points, edges, 3, hints({0: 0, 50: 1, 100: 2, 150: 3}, 4), seed=0)


def test_every_subset_has_the_hinted_images() -> None:
    order = torch.randperm(200, generator=torch.Generator().manual_seed(0))
    found = first_with_hints(order, hints({3: 0, 180: 1}, 2))
    assert set(found[:2].tolist()) == {3, 180} and sorted(found.tolist()) == list(range(200))
    assert first_with_hints(order, None) is order


def test_clusters_found_without_hints_are_numbered_by_them() -> None:
    found = renumbered(torch.from_numpy(KIND), 4, hints({120: 0, 121: 0, 10: 1, 160: 1, 11: 1}, 2))
    assert [int(found[50 * kind]) for kind in range(4)] == [1, 2, 0, 3]
