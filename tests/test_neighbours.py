"""Neighbours do not mind a small change of pose, and clusters are found without labels."""

import functools
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from mcevae import neighbours
from mcevae.data import load
from mcevae.errors import UserError
from mcevae.groups import get_group
from mcevae.images import Images, to_float
from mcevae.metrics import matched_accuracy
from mcevae.neighbours import start_clusters, tangent_neighbours
from mcevae.warp import warp

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
    monkeypatch.setattr(neighbours, "CHUNK_NUMBERS", 20_000)
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


@pytest.mark.parametrize(
    ("splits", "kept"),
    [
        ([[0, 1, 2, 0, 1, 2], SPLIT, [1, 1, 0, 0, 2, 2]], SPLIT),  # agrees with the third
        ([[0, 0, 1, 1, 1, 1], [0, 0, 1, 1, 1, 1], SPLIT], SPLIT),  # has no empty cluster
    ],
)
def test_the_fullest_and_then_the_most_agreed_upon_restart_is_kept(
    monkeypatch: pytest.MonkeyPatch, splits: list[list[int]], kept: list[int]
) -> None:
    coming = iter(splits)
    monkeypatch.setattr(neighbours, "_layout", lambda data, *_: data)
    monkeypatch.setattr(neighbours, "_split", lambda *_: np.eye(3)[next(coming)])
    assert start_clusters(noise(6, 1, 16, 16), 3, neighbours=2).labels.tolist() == kept


def test_clusters_that_stay_empty_are_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neighbours, "_layout", lambda data, *_: data)
    monkeypatch.setattr(neighbours, "_split", lambda *_: np.eye(3)[[0, 0, 0, 1, 1, 1]])
    with pytest.warns(UserWarning, match="1 of 3 clusters are empty"):
        start_clusters(noise(6, 1, 16, 16), 3, neighbours=2)


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"clusters": 2}, "10 images do not have 15 neighbours"),
        ({"clusters": 2, "neighbours": 10}, "10 images do not have 10 neighbours"),
        ({"clusters": 2, "neighbours": 0}, "There cannot be 0 neighbours"),
        ({"clusters": 11, "neighbours": 2}, "10 images cannot fill 11 clusters"),
        ({"clusters": 0}, "There cannot be 0 clusters"),
        ({"clusters": 2, "restarts": 0}, "There cannot be 0 restarts"),
    ],
)
def test_sizes_that_cannot_be_are_refused(settings: dict[str, int], complaint: str) -> None:
    with pytest.raises(UserError, match=complaint):
        start_clusters(noise(10, 1, 16, 16), **settings)
