"""Clusters are found without labels, and told when they are empty or show the same."""

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from mcevae.base.errors import UserError
from mcevae.geometry.groups import get_group
from mcevae.images.arrays import NO_HINT, Hints, to_float
from mcevae.runs.metrics import matched_accuracy
from mcevae.teaching import cluster
from mcevae.teaching.cluster import Grouping, start_clusters
from mcevae.teaching.described import closest
from mcevae.teaching.duplicates import alike
from mcevae.teaching.graph import Graph, Neighbours, describe, invariant_graph
from mcevae.teaching.rings import Turn
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


def test_a_seed_gives_the_same_clusters_again() -> None:
    one, same = (clustered(upright(60), 3, neighbours=5, restarts=1) for _ in range(2))
    assert one.labels.equal(same.labels)
    assert math.isnan(one.agreement)


def test_it_can_stop_between_restarts() -> None:
    class Stop(Exception):
        pass

    def track(parts: Sequence[Any]) -> Iterator[Any]:
        yield parts[0]
        raise Stop

    with pytest.raises(Stop):
        clustered(upright(20), 2, neighbours=5, restarts=100, track=track)


@pytest.mark.filterwarnings("ignore:Clusters")
def test_very_few_images_will_do() -> None:
    images = upright(5)
    found = clustered(images, 2, neighbours=2, restarts=1)
    assert found.labels.shape == (5,)


SPLIT = [0, 0, 1, 1, 2, 2]


TWICE = [0, 1, 2, 0, 1, 2]  # what the tests below call a labelling with duplicates


@pytest.mark.parametrize(
    "splits",
    [
        [[0, 1, 2, 0, 2, 1], SPLIT, [1, 1, 0, 0, 2, 2]],  # is what two have in common
        [TWICE, TWICE, SPLIT],  # has no duplicates
        [[0, 0, 1, 1, 1, 1], [0, 0, 1, 1, 1, 1], SPLIT],  # has no empty cluster
    ],
)
def test_the_fullest_then_most_distinct_then_most_agreed_upon_clusters_are_kept(
    monkeypatch: pytest.MonkeyPatch, splits: list[list[int]]
) -> None:
    coming = iter(splits)
    monkeypatch.setattr(cluster, "_layout", lambda data, *_: data)
    monkeypatch.setattr(cluster, "mixture", lambda *_: np.array(next(coming)))
    monkeypatch.setattr(
        cluster, "duplicates", lambda labels, *_: [(0, 1)] * (labels.tolist() == TWICE)
    )
    found = clustered(noise(6, 1, 16, 16), 3, neighbours=2, restarts=3).labels.tolist()
    assert [sorted(set(found), key=found.index).index(one) for one in found] == SPLIT


def test_neighbours_back_a_cluster() -> None:
    index = torch.tensor([[1, 2], [0, 2], [0, 1], [4, 2], [3, 2]])
    turn = Turn(likeness=torch.zeros(10), angle=torch.zeros(10), mirrored=torch.zeros(10) > 0)
    graph = Graph(index=index, distance=torch.zeros(5, 2), turn=turn)
    backing = cluster.backing_of(graph, torch.tensor([0, 0, 0, 1, 1]))
    assert backing.tolist() == [1, 1, 1, 0.5, 0.5]


def test_clusters_that_stay_empty_are_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "_layout", lambda data, *_: data)
    monkeypatch.setattr(cluster, "mixture", lambda *_: np.array([0, 0, 0, 1, 1, 1]))
    monkeypatch.setattr(cluster, "duplicates", lambda *_: [])
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
    assert given.labels.equal(chosen.labels)


@pytest.mark.filterwarnings("ignore:Clusters")  # of so few images
@pytest.mark.filterwarnings("ignore:.*clusters are the most")
@pytest.mark.parametrize(("most", "images"), [(2, 200), (4, 200), (30, 5)])
def test_no_more_clusters_are_chosen_than_allowed_or_than_there_are_images(
    most: int, images: int
) -> None:
    some = shapes(5, images // 5)
    found = clustered(some, None, most=most, neighbours=3, restarts=1)
    assert 2 <= found.clusters <= min(most, images)
    assert found.labels.max() < found.clusters


def test_it_is_said_if_the_largest_number_that_was_tried_is_taken() -> None:
    with pytest.warns(UserWarning, match="^3 clusters are the most that are tried"):
        clustered(shapes(5), None, most=3, neighbours=10, restarts=1)


@pytest.mark.filterwarnings("ignore:Clusters .* can hardly be told apart")
def test_parts_that_surely_differ_are_the_clusters_if_there_are_so_many(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Else, and with hints, a mixture sorts the images."""
    kind = np.arange(60) // 20
    monkeypatch.setattr(cluster, "surely_parted", lambda edges, seeds: [kind] * len(seeds))
    images, asked = noise(60, 1, 16, 16), []

    def mixture(points: np.ndarray, clusters: int, *_: int) -> np.ndarray:
        asked.append(clusters)
        return np.arange(len(points)) % clusters

    monkeypatch.setattr(cluster, "mixture", mixture)
    monkeypatch.setattr(cluster, "guided", lambda points, *_: np.arange(len(points)) % 3)
    found = clustered(images, 3, neighbours=5, restarts=2)
    assert found.labels.tolist() == kind.tolist() and found.agreement == 1.0 and not asked
    monkeypatch.setattr(cluster, "finer_count", lambda *_: 3)
    found = clustered(images, None, neighbours=5, restarts=2)
    assert found.clusters == 3 and found.labels.tolist() == kind.tolist() and not asked
    clustered(images, 4, neighbours=5, restarts=2)
    assert asked == [4, 4]
    monkeypatch.setattr(cluster, "finer_count", lambda layouts, parts, most, seeds: most)
    with pytest.warns(UserWarning, match="^5 clusters are the most that are tried"):
        found = clustered(images, None, most=5, neighbours=5, restarts=2)
    assert found.clusters == 5 and asked == [4, 4, 5, 5]
    hints = Hints(names=("a", "b", "c"), of=torch.full((60,), NO_HINT), apart=())
    found = clustered(images, 3, neighbours=5, restarts=2, hints=hints)
    assert found.labels.tolist() == (np.arange(60) % 3).tolist()


def test_two_clusters_of_one_shape_are_reported() -> None:
    images = shapes(3, each=160)
    said = r"Clusters \d and \d can hardly be told apart; if they show the same, ask for fewer"
    with pytest.warns(UserWarning, match=said):
        found = clustered(images, 4, restarts=2)
    ((one, other),) = found.duplicates
    shape = torch.arange(3).repeat_interleave(160)
    assert found.clusters == 4
    assert len(shape[(found.labels == one) | (found.labels == other)].unique()) == 1


def test_graphs_that_confuse_other_kinds_find_all_of_them_together() -> None:
    """Each description confuses one pair of five kinds; a useless one does no harm."""
    generator = torch.Generator().manual_seed(0)
    kind = torch.arange(400) % 5
    graphs = []
    for pair in ([0, 1], [1, 2], [3, 4], [0, 4]):
        middle = 12 * torch.eye(5)
        middle[pair[1]] = middle[pair[0]]
        points = middle[kind] + torch.randn(400, 5, generator=generator)
        index, distance = closest(points, 15)
        graphs.append(Neighbours(index=index, distance=distance))
    index, distance = closest(torch.randn(400, 20, generator=generator), 15)
    useless = Neighbours(index=index, distance=distance)
    images = torch.zeros(400, 2)

    def right(*graphs: Neighbours) -> float:
        found = start_clusters(images, graphs[0], 5, others=graphs[1:])
        return matched_accuracy(found.labels.numpy(), kind.numpy())

    assert max(right(graph) for graph in graphs) < 0.9
    assert right(*graphs) > 0.95
    assert right(graphs[0], useless) == right(graphs[0])


def test_k_means_and_the_plain_distance_stand_in_for_the_graph() -> None:
    images, truth = shapes(3), torch.arange(3).repeat_interleave(40)
    for by in ("euclidean", "kmeans"):
        found = clustered(images, 3, neighbours=10, restarts=2, by=by)
        assert matched_accuracy(found.labels.numpy(), truth.numpy()) == 1


def found_among(
    sizes: Sequence[int], parts: np.ndarray | None = None, k: int = 15, seed: int = 0
) -> list[tuple[int, int]]:
    """Duplicates among round clouds of points in 10 dimensions, far apart, one for each cluster.

    Args:
        sizes: number of points of each.
        parts: if given, the points of the first cloud for which it is true form the last cluster.
        k: number of neighbours.
        seed: of the points.
    """
    draw = np.random.default_rng(seed)
    labels = np.repeat(np.arange(len(sizes)), sizes)
    points = 3 * draw.normal(size=(len(sizes), 10))[labels] + draw.normal(size=(len(labels), 10))
    if parts is not None:
        labels[: sizes[0]][parts] = len(sizes)
    apart = torch.cdist(*2 * [torch.from_numpy(points)]).fill_diagonal_(torch.inf)
    nearest = apart.topk(min(k, len(labels) - 1), largest=False).indices.numpy()
    return alike(labels, nearest, len(sizes) + 2)  # one stays empty


CLOUDS = {
    "few": [100] * 3,
    "many": [100] * 24,
    "many and small": [17] * 24,
    "fewer than neighbours": [8] * 12,
    "large": [1000] * 3,
    "unequal": [400, 40, 8],
    "unequal and many": [400, 100, 40, 20] * 5,
    "a small first": [30, 400, 400],
}


@pytest.mark.parametrize("sizes", CLOUDS.values(), ids=CLOUDS)
@pytest.mark.parametrize("seed", range(3))
def test_different_clusters_are_not_named(sizes: list[int], seed: int) -> None:
    assert found_among(sizes, seed=seed) == []


@pytest.mark.parametrize(
    ("name", "part"),
    [(name, sizes[0] // one) for name, sizes in CLOUDS.items() for one in (2, 4)],
)
def test_a_cluster_that_is_split_is_named(name: str, part: int) -> None:
    """Unless a part has too few images to tell: four do not."""
    sizes = CLOUDS[name]
    parts = np.random.default_rng(1).permutation(sizes[0]) < part
    assert found_among(sizes, parts) == [(0, len(sizes))] * (part > 4)


def test_all_pairs_of_a_cluster_in_three_parts_are_named() -> None:
    draw = np.random.default_rng(0)
    points = torch.from_numpy(draw.normal(size=(300, 10)))
    apart = torch.cdist(points, points).fill_diagonal_(torch.inf)
    nearest = apart.topk(15, largest=False).indices.numpy()
    labels = draw.integers(3, size=300)
    assert alike(labels, nearest, 3) == [(0, 1), (0, 2), (1, 2)]


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
