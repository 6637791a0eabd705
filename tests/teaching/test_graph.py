"""Neighbours do not mind a small change of pose, and clusters are found without labels."""

import functools
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from mcevae.base.errors import UserError
from mcevae.geometry.groups import get_group
from mcevae.geometry.warp import warp
from mcevae.images.arrays import Images, to_float
from mcevae.images.datasets import load
from mcevae.runs.metrics import matched_accuracy
from mcevae.teaching import graph
from mcevae.teaching.graph import start_clusters, tangent_neighbours

AFF2 = get_group("aff2")


@functools.cache
def digits(count: int, wanted: tuple[int, ...] = tuple(range(10))) -> Images:
    """The first upright digits of mnist-mini that are among the wanted."""
    images = load("mnist-mini").train
    assert images.labels is not None
    known = torch.isin(images.labels, torch.tensor(wanted))
    return images.subset(known.nonzero()[:count, 0])


def upright(count: int) -> Tensor:
    return to_float(digits(count).pixels)


def noise(*shape: int) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(0))


def table(images: Tensor) -> Tensor:
    """Tangent distances of all from all (N, N)."""
    indices, distances = tangent_neighbours(images, len(images) - 1)
    assert (distances.diff(dim=1) >= 0).all()  # nearest first
    return torch.zeros(len(images), len(images)).scatter(1, indices, distances)


CHANGES = {
    "rotation": lambda images: warp(images, AFF2.exp(torch.tensor([[0.1, 0, 0, 0, 0, 0]]))),
    "shift": lambda images: warp(images, AFF2.exp(torch.tensor([[0, 0.03, -0.03, 0, 0, 0]]))),
    "strain": lambda images: warp(images, AFF2.exp(torch.tensor([[0, 0, 0, 0.06, 0.06, 0.06]]))),
    "thickness": lambda images: (images + F.max_pool2d(images, 3, 1, 1)) / 2,
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("channels", [1, 3])
def test_a_slightly_changed_image_is_near_itself_and_far_from_others(
    change: str, channels: int
) -> None:
    images = upright(10)
    both = torch.cat([images, CHANGES[change](images)])
    both = both * torch.tensor([1.0, 0.5, 0.2])[:channels, None, None]
    distance = table(both)[:10]
    pixel = torch.cdist(both[:10].flatten(1), both[10:].flatten(1))
    own = distance[:, 10:].diagonal()
    assert (own < 0.5 * pixel.diagonal()).all()
    others = distance[:, :10].masked_fill(torch.eye(10, dtype=torch.bool), torch.inf)
    assert (own < 0.8 * others.amin(dim=1)).all()


def test_large_images_are_shrunk_and_keep_their_neighbours() -> None:
    images = upright(60)
    large = F.interpolate(images, scale_factor=4, mode="bilinear")
    small_indices, small = tangent_neighbours(images, 3)
    large_indices, big = tangent_neighbours(large, 3)
    assert (small_indices[:, 0] == large_indices[:, 0]).float().mean() > 0.8
    assert (big / small - 1).abs().median() < 0.2


def test_neighbours_do_not_depend_on_how_images_are_chunked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    images = noise(30, 2, 16, 24)
    indices, distances = tangent_neighbours(images, 4, candidates=10)
    monkeypatch.setattr(graph, "CHUNK_NUMBERS", 20_000)
    again = tangent_neighbours(images, 4, candidates=10)
    assert again[0].equal(indices)
    assert again[1].allclose(distances, atol=1e-4)
    assert (indices != torch.arange(30)[:, None]).all()


def test_blank_images_have_finite_distances() -> None:
    assert table(torch.ones(5, 1, 16, 16)).eq(0).all()


def test_neighbours_share_a_label_more_often_than_those_by_pixels() -> None:
    images, labels = upright(600), digits(600).labels
    assert labels is not None
    pixels = torch.cdist(images.flatten(1), images.flatten(1)).fill_diagonal_(torch.inf)
    by_pixel = pixels.topk(10, largest=False).indices
    by_tangent, _ = tangent_neighbours(images, 10)
    same = [(labels[each] == labels[:, None]).float().mean() for each in (by_tangent, by_pixel)]
    assert same[0] > same[1] + 0.04


def test_digits_are_told_apart_without_labels() -> None:
    sample = digits(600, (0, 1, 6))
    assert sample.labels is not None
    found = start_clusters(to_float(sample.pixels), 3, restarts=2)
    assert matched_accuracy(found.labels.numpy(), sample.labels.numpy()) > 0.9
    assert found.agreement > 0.9
    assert ((found.confidence >= 0) & (found.confidence <= 1)).all()


def test_a_seed_gives_the_same_clusters_again() -> None:
    one, same = (start_clusters(upright(60), 3, neighbours=5, restarts=1) for _ in range(2))
    assert one.labels.equal(same.labels) and one.confidence.equal(same.confidence)
    assert math.isnan(one.agreement)


def test_very_few_images_will_do() -> None:
    images = upright(5)
    found = start_clusters(images, 2, neighbours=2, restarts=1)
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
    monkeypatch.setattr(graph, "_layout", lambda data, *_: data)
    monkeypatch.setattr(graph, "_split", lambda *_: np.eye(3)[next(coming)])
    monkeypatch.setattr(
        graph, "_duplicates", lambda labels, *_: [(0, 1)] * (labels.tolist() == TWICE)
    )
    assert start_clusters(noise(6, 1, 16, 16), 3, neighbours=2).labels.tolist() == SPLIT


def test_clusters_that_stay_empty_are_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graph, "_layout", lambda data, *_: data)
    monkeypatch.setattr(graph, "_split", lambda *_: np.eye(3)[[0, 0, 0, 1, 1, 1]])
    monkeypatch.setattr(graph, "_duplicates", lambda *_: [])
    with pytest.warns(UserWarning, match="1 of 3 clusters are empty"):
        start_clusters(noise(6, 1, 16, 16), 3, neighbours=2)


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
    chosen = start_clusters(images, None, most=12, neighbours=10, restarts=2)
    assert chosen.clusters == count and chosen.duplicates == []
    truth = torch.arange(count).repeat_interleave(40)
    assert matched_accuracy(chosen.labels.numpy(), truth.numpy()) == 1
    given = start_clusters(images, count, neighbours=10, restarts=2)
    assert given.labels.equal(chosen.labels) and given.confidence.equal(chosen.confidence)


@pytest.mark.filterwarnings("ignore:Clusters")  # of so few images
@pytest.mark.parametrize(("most", "images"), [(2, 200), (4, 200), (30, 5)])
def test_no_more_clusters_are_chosen_than_allowed_or_than_there_are_images(
    most: int, images: int
) -> None:
    some = shapes(5, images // 5)
    found = start_clusters(some, None, most=most, neighbours=3, restarts=1)
    assert 2 <= found.clusters <= min(most, images)
    assert found.labels.max() < found.clusters


def test_two_clusters_of_one_shape_are_reported() -> None:
    images = shapes(3)
    with pytest.warns(UserWarning, match=r"Clusters \d and \d show the same; ask for fewer"):
        found = start_clusters(images, 4, neighbours=10, restarts=2)
    ((one, other),) = found.duplicates
    shape = torch.arange(3).repeat_interleave(40)
    assert found.clusters == 4
    assert len(shape[(found.labels == one) | (found.labels == other)].unique()) == 1


def test_k_means_and_the_plain_distance_stand_in_for_the_graph() -> None:
    images, truth = shapes(3), torch.arange(3).repeat_interleave(40)
    for by in ("euclidean", "kmeans"):
        found = start_clusters(images, 3, neighbours=10, restarts=2, by=by)
        assert matched_accuracy(found.labels.numpy(), truth.numpy()) == 1
    rigid = graph.tangent_neighbours(images, 3, candidates=20, blur=0.0, ridge=graph.RIGID)
    plain = torch.cdist(images.flatten(1), images.flatten(1)).fill_diagonal_(torch.inf)
    assert rigid[1].allclose(plain.topk(3, largest=False).values, atol=1e-3)


def test_modularity_of_two_triangles_that_one_edge_connects() -> None:
    edges = np.array([[0, 1], [0, 2], [1, 2], [2, 3], [3, 4], [3, 5], [4, 5]])
    table = neighbours._beyond_chance(np.array([0, 0, 0, 1, 1, 1]), edges, 2)
    assert np.trace(table) == pytest.approx(6 / 7 - 1 / 2)
    assert np.trace(table) + 2 * table[0, 1] == pytest.approx(0)  # all in one cluster
    mixed = np.array([0, 0, 1, 2, 2, 2])
    assert neighbours._duplicates(mixed, edges, 4) == [(0, 1)]  # the fourth is empty


def test_an_edge_counts_once_however_many_of_its_ends_name_it() -> None:
    indices = torch.tensor([[1], [0], [1]])
    assert neighbours._edges(indices).tolist() == [[0, 1], [1, 2]]


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"clusters": 2}, "10 images do not have 15 neighbours"),
        ({"clusters": 2, "neighbours": 10}, "10 images do not have 10 neighbours"),
        ({"clusters": 2, "neighbours": 0}, "There cannot be 0 neighbours"),
        ({"clusters": 11, "neighbours": 2}, "10 images cannot fill 11 clusters"),
        ({"clusters": 0}, "There cannot be 0 clusters"),
        ({"clusters": 2, "restarts": 0}, "There cannot be 0 restarts"),
        ({"clusters": None, "most": 1}, "At most 1 clusters leave no choice"),
    ],
)
def test_sizes_that_cannot_be_are_refused(settings: dict[str, int | None], complaint: str) -> None:
    with pytest.raises(UserError, match=complaint):
        start_clusters(noise(10, 1, 16, 16), **settings)
