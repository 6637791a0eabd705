"""Clusters are found without labels, and told when they are empty or show the same."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from mcevae.base.errors import UserError
from mcevae.geometry.groups import get_group
from mcevae.images.arrays import to_float
from mcevae.runs.metrics import matched_accuracy
from mcevae.teaching import cluster
from mcevae.teaching.cluster import Grouping, start_clusters
from mcevae.teaching.graph import describe, invariant_graph
from tests.teaching.test_graph import digits, noise, upright


def clustered(
    images: Tensor, clusters: int | None, *, neighbours: int = 15, by: str = "tangent", **how: Any
) -> Grouping:
    """Clusters of upright images."""
    rings = describe([images], get_group("se2"), 0.0).rings
    graph = None
    if by != "kmeans":
        graph = invariant_graph(rings, neighbours, reach=0.0, by=by)  # pyright: ignore[reportArgumentType]
    return start_clusters(rings.flatten(1), graph, clusters, **how)


def test_digits_are_told_apart_without_labels() -> None:
    sample = digits(600, (0, 1, 6))
    assert sample.labels is not None
    found = clustered(to_float(sample.pixels), 3, restarts=2)
    assert matched_accuracy(found.labels.numpy(), sample.labels.numpy()) > 0.9
    assert found.agreement > 0.9
    assert ((found.confidence >= 0) & (found.confidence <= 1)).all()


def test_a_seed_gives_the_same_clusters_again() -> None:
    one, same = (clustered(upright(60), 3, neighbours=5, restarts=1) for _ in range(2))
    assert one.labels.equal(same.labels) and one.confidence.equal(same.confidence)
    assert math.isnan(one.agreement)


@pytest.mark.filterwarnings("ignore:Clusters")
def test_very_few_images_will_do() -> None:
    images = upright(5)
    found = clustered(images, 2, neighbours=2, restarts=1)
    assert found.labels.shape == found.confidence.shape == (5,)


SPLIT = [0, 0, 1, 1, 2, 2]


TWICE = [0, 1, 2, 0, 1, 2]  # what the tests below call a labelling with duplicates


@pytest.mark.parametrize(
    "splits",
    [
        [[0, 1, 2, 0, 2, 1], SPLIT, [1, 1, 0, 0, 2, 2]],  # agrees with the third
        [TWICE, TWICE, SPLIT],  # has no duplicates
        [[0, 0, 1, 1, 1, 1], [0, 0, 1, 1, 1, 1], SPLIT],  # has no empty cluster
    ],
)
def test_the_fullest_then_most_distinct_then_most_agreed_upon_restart_is_kept(
    monkeypatch: pytest.MonkeyPatch, splits: list[list[int]]
) -> None:
    coming = iter(splits)
    monkeypatch.setattr(cluster, "_layout", lambda data, *_: data)
    monkeypatch.setattr(cluster, "_split", lambda *_: np.eye(3)[next(coming)])
    monkeypatch.setattr(
        cluster, "_duplicates", lambda labels, *_: [(0, 1)] * (labels.tolist() == TWICE)
    )
    assert clustered(noise(6, 1, 16, 16), 3, neighbours=2).labels.tolist() == SPLIT


def test_clusters_that_stay_empty_are_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "_layout", lambda data, *_: data)
    monkeypatch.setattr(cluster, "_split", lambda *_: np.eye(3)[[0, 0, 0, 1, 1, 1]])
    monkeypatch.setattr(cluster, "_duplicates", lambda *_: [])
    with pytest.warns(UserWarning, match="1 of 3 clusters are empty"):
        clustered(noise(6, 1, 16, 16), 3, neighbours=2)


def shapes(count: int, each: int = 40) -> Tensor:
    """Bar, cross, ring, disc and corner, so many of the five, in noise."""
    y, x = torch.meshgrid(*[torch.linspace(-1, 1, 20)] * 2, indexing="ij")
    radius = torch.hypot(x, y)
    drawn = [
        x.abs() < 0.2,
        (x.abs() < 0.15) | (y.abs() < 0.15),
        (radius - 0.7).abs() < 0.15,
        radius < 0.5,
        (x < -0.6) | (y > 0.6),
    ]
    clean = torch.stack(drawn[:count]).float().repeat_interleave(each, dim=0)[:, None]
    return 0.8 * clean + 0.2 * noise(*clean.shape)


@pytest.mark.parametrize("count", [3, 4, 5])
def test_the_number_of_shapes_is_found(count: int) -> None:
    images = shapes(count)
    chosen = clustered(images, None, most=12, neighbours=10, restarts=2)
    assert chosen.clusters == count and chosen.duplicates == []
    truth = torch.arange(count).repeat_interleave(40)
    assert matched_accuracy(chosen.labels.numpy(), truth.numpy()) == 1
    given = clustered(images, count, neighbours=10, restarts=2)
    assert given.labels.equal(chosen.labels) and given.confidence.equal(chosen.confidence)


@pytest.mark.filterwarnings("ignore:Clusters")  # of so few images
@pytest.mark.parametrize(("most", "images"), [(2, 200), (4, 200), (30, 5)])
def test_no_more_clusters_are_chosen_than_allowed_or_than_there_are_images(
    most: int, images: int
) -> None:
    some = shapes(5, images // 5)
    found = clustered(some, None, most=most, neighbours=3, restarts=1)
    assert 2 <= found.clusters <= min(most, images)
    assert found.labels.max() < found.clusters


def test_two_clusters_of_one_shape_are_reported() -> None:
    images = shapes(3)
    with pytest.warns(UserWarning, match=r"Clusters \d and \d show the same; ask for fewer"):
        found = clustered(images, 4, neighbours=10, restarts=2)
    ((one, other),) = found.duplicates
    shape = torch.arange(3).repeat_interleave(40)
    assert found.clusters == 4
    assert len(shape[(found.labels == one) | (found.labels == other)].unique()) == 1


def test_k_means_and_the_plain_distance_stand_in_for_the_graph() -> None:
    images, truth = shapes(3), torch.arange(3).repeat_interleave(40)
    for by in ("euclidean", "kmeans"):
        found = clustered(images, 3, neighbours=10, restarts=2, by=by)
        assert matched_accuracy(found.labels.numpy(), truth.numpy()) == 1


def test_modularity_of_two_triangles_that_one_edge_connects() -> None:
    edges = np.array([[0, 1], [0, 2], [1, 2], [2, 3], [3, 4], [3, 5], [4, 5]])
    table = cluster._beyond_chance(np.array([0, 0, 0, 1, 1, 1]), edges, 2)
    assert np.trace(table) == pytest.approx(6 / 7 - 1 / 2)
    assert np.trace(table) + 2 * table[0, 1] == pytest.approx(0)  # all in one cluster
    mixed = np.array([0, 0, 1, 2, 2, 2])
    assert cluster._duplicates(mixed, edges, 4) == [(0, 1)]  # the fourth is empty


def test_an_edge_counts_once_however_many_of_its_ends_name_it() -> None:
    indices = torch.tensor([[1], [0], [1]])
    assert cluster._edges(indices).tolist() == [[0, 1], [1, 2]]


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"clusters": 11, "neighbours": 2}, "10 images are too few for 11 clusters"),
        ({"clusters": 0, "neighbours": 2}, "There cannot be 0 clusters"),
        ({"clusters": 2, "neighbours": 2, "restarts": 0}, "There cannot be 0 restarts"),
        (
            {"clusters": None, "neighbours": 2, "most": 1},
            "The largest number of clusters to try is 1",
        ),
    ],
)
def test_sizes_that_cannot_be_are_refused(settings: dict[str, Any], complaint: str) -> None:
    with pytest.raises(UserError, match=complaint):
        clustered(noise(10, 1, 16, 16), **settings)
