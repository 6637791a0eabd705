"""The number of clusters: by the communities of the graph, and by mixtures on its layouts."""

import numpy as np
import pytest
import torch

from mcevae.teaching import counting
from mcevae.teaching.counting import best_count, finer_count, modularity, pairs

NEIGHBOURS = 10


def clouds(sizes: list[int], apart: float, seed: int = 0) -> tuple[np.ndarray, torch.Tensor]:
    """Round clouds of points in 5 dimensions, and the nearest neighbours of each point."""
    draw = np.random.default_rng(seed)
    middle = apart * draw.normal(size=(len(sizes), 5))
    points = np.repeat(middle, sizes, axis=0) + draw.normal(size=(sum(sizes), 5))
    near = torch.from_numpy(points)
    away = torch.cdist(near, near).fill_diagonal_(torch.inf)
    return points, away.topk(NEIGHBOURS, largest=False).indices


@pytest.mark.parametrize("sizes", [[60] * 4, [60] * 9, [120, 80, 60, 60, 30, 30]])
def test_the_number_of_clouds_is_found(sizes: list[int]) -> None:
    points, near = clouds(sizes, 6.0)
    assert best_count([points] * 2, near, 30, [0, 1]) == len(sizes)


def test_kinds_that_a_layout_puts_side_by_side_are_still_counted() -> None:
    points, near = clouds([80] * 6, 6.0)
    flat = points.copy()
    kind = np.repeat(np.arange(6), 80)
    flat[:] = (kind // 2)[:, None] * 9.0 + np.random.default_rng(1).normal(size=points.shape)
    assert best_count([flat] * 2, near, 30, [0, 1]) == 6  # three clouds of two kinds


@pytest.mark.parametrize("most", [2, 4])
def test_it_is_never_more_than_allowed(most: int) -> None:
    points, near = clouds([40] * 8, 6.0)
    assert best_count([points], near, most, [0]) == most


def test_of_numbers_that_fit_as_well_restarts_choose(monkeypatch: pytest.MonkeyPatch) -> None:
    def split(points: np.ndarray, clusters: int, seed: int, starts: int) -> np.ndarray:
        return np.roll(np.arange(30) * clusters // 30, 0 if clusters == 4 else 3 * seed)

    monkeypatch.setattr(counting, "mixture", split)
    monkeypatch.setattr(counting, "communities", lambda *_: np.arange(30) * 4 // 30)
    nothing = [np.zeros((30, 2))] * 2
    near = torch.tensor([[b for b in range(30) if b != a] for a in range(30)])  # all of them
    assert best_count(nothing, near, 6, [0, 1]) == 3  # modularity is worth more
    monkeypatch.setattr(counting, "TIE", 1.0)
    assert best_count(nothing, near, 6, [0, 1]) == 4


def test_parts_are_told_apart_further_where_all_layouts_do_so_alike() -> None:
    points, _ = clouds([60] * 6, 12.0)
    assert finer_count([points, points + 1], 4, 30, [0, 1]) == 6  # two pairs were one part each
    assert finer_count([points, points + 1], 4, 5, [0, 1]) == 5  # as many as allowed
    assert finer_count([points, points + 1], 6, 5, [0, 1]) == 5
    assert finer_count([points], 4, 30, [0]) == 4  # nothing to compare with
    band = np.random.default_rng(0).uniform(size=(400, 5)) * [50, 1, 1, 1, 1]
    other = np.random.default_rng(1).uniform(size=(400, 5)) * [50, 1, 1, 1, 1]
    assert finer_count([np.r_[band, band + 90], np.r_[other, other + 90]], 2, 30, [0, 1]) == 2


def test_modularity_of_two_triangles_that_one_edge_connects() -> None:
    edges = np.array([[0, 1], [0, 2], [1, 2], [2, 3], [3, 4], [3, 5], [4, 5]])
    assert modularity(np.array([0, 0, 0, 1, 1, 1]), edges) == pytest.approx(6 / 7 - 1 / 2)
    assert modularity(np.zeros(6, int), edges) == pytest.approx(0)


def test_an_edge_counts_once_however_many_of_its_ends_name_it() -> None:
    assert pairs(torch.tensor([[1], [0], [1]])).tolist() == [[0, 1], [1, 2]]
