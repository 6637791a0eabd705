"""Neighbours do not mind how images are moved."""

import functools
import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from mcevae.base.errors import UserError
from mcevae.geometry.groups import get_group, reflect
from mcevae.geometry.warp import warp
from mcevae.images.arrays import Images, to_float
from mcevae.images.loading import load
from mcevae.teaching import rings as on
from mcevae.teaching import tangent
from mcevae.teaching.graph import describe, invariant_graph, reach_of
from mcevae.teaching.rings import most_alike, turned, turns

SE2, SIM2, AFF2 = (get_group(name) for name in ("se2", "sim2", "aff2"))


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


def padded(count: int) -> Tensor:
    """Digits with room around them, so that no part leaves the frame."""
    return F.pad(upright(count), (7,) * 4)


def rings_of(images: Tensor, group: str = "se2") -> Tensor:
    return describe([images], get_group(group), 0.0).rings


def angles(count: int, half_width: float = math.pi) -> Tensor:
    return (2 * torch.rand(count, generator=torch.Generator().manual_seed(1)) - 1) * half_width


@pytest.mark.parametrize("mirror", [False, True])
def test_the_turn_between_an_image_and_a_moved_one_is_found(mirror: bool) -> None:
    images, angle = padded(40), angles(40)
    shift = 0.1 * torch.stack([angles(40, 1.0), -angles(40, 1.0)], 1)
    mirrored = (torch.arange(40) % 2 == 0) & mirror
    moves = SE2.from_parameters(torch.cat([angle[:, None], shift], 1))
    moves = reflect(moves, mirrored)
    found = turns(rings_of(images), rings_of(warp(images, moves)), math.pi, mirror)
    error = torch.angle(torch.polar(torch.ones(40), found.angle - angle)).abs()
    clear = found.likeness > 0.9
    assert clear.float().mean() > 0.9
    right = (found.mirrored == mirrored) & (error < math.radians(3))
    assert right[clear].float().mean() > 0.8  # noughts and ones look alike in several poses
    assert found.likeness.median() > 0.97


@pytest.mark.parametrize("mirror", [False, True])
def test_distances_do_not_change_when_images_are_moved(mirror: bool) -> None:
    images, angle = padded(60), angles(60)
    moves = SE2.from_parameters(torch.cat([angle[:, None], 0.05 * noise(60, 2)], 1))
    if mirror:
        moves = reflect(moves, torch.arange(60) % 2 == 0)
    first, second = (
        invariant_graph(rings_of(each), 10, mirror=mirror) for each in (images, warp(images, moves))
    )
    shared = [
        len(set(a) & set(b))
        for a, b in zip(first.index.tolist(), second.index.tolist(), strict=True)
    ]
    assert sum(shared) / len(shared) > 8.5
    assert (first.distance - second.distance).abs().median() < 0.03


def test_scale_does_not_count_if_the_group_scales() -> None:
    images = padded(20)
    smaller = warp(images, SIM2.from_parameters(torch.tensor([[0, 0, 0, -0.3]])))
    alike = {
        group: turns(rings_of(images, group), rings_of(smaller, group), 0.0, False).likeness.mean()
        for group in ("se2", "sim2")
    }
    assert alike["sim2"] > 0.97 > alike["se2"] + 0.05


def test_only_turns_that_the_support_allows_are_tried() -> None:
    images = padded(30)
    upside_down = warp(images, SE2.from_parameters(torch.tensor([[math.pi, 0, 0]])))
    rings = rings_of(images), rings_of(upside_down)
    assert turns(*rings, math.pi, False).likeness.min() > 0.97
    turn = turns(*rings, math.radians(60), False)
    assert (
        (turn.angle.abs() % (2 * math.pi) < math.radians(66))
        .logical_or(turn.angle > math.radians(294))
        .all()
    )
    assert reach_of(math.radians(30)) == pytest.approx(math.radians(60))
    assert reach_of(math.pi) == math.pi


def test_all_pairs_at_once_give_what_single_pairs_give(monkeypatch: pytest.MonkeyPatch) -> None:
    rings = rings_of(warp(padded(50), SE2.from_parameters(F.pad(angles(50)[:, None], (0, 2)))))
    one, other = (each.flatten() for each in torch.meshgrid(*[torch.arange(50)] * 2, indexing="ij"))
    for reach, mirror in ((math.pi, False), (math.radians(60), True)):
        table = turns(rings[one], rings[other], reach, mirror).likeness.view(50, 50)
        nearest = table.fill_diagonal_(-2).topk(5).indices
        monkeypatch.setattr(on, "ROWS", 64)
        found = most_alike(rings, 5, reach=reach, mirror=mirror)
        monkeypatch.setattr(on, "ROWS", 7)
        monkeypatch.setattr(on, "COLUMNS", 11)
        assert found.equal(most_alike(rings, 5, reach=reach, mirror=mirror))
        kept = (found[:, :, None] == nearest[:, None]).any(2).float().mean()
        assert kept > 0.9  # by the lower frequencies
        monkeypatch.setattr(on, "ENERGY", 1.0)
        assert most_alike(rings, 5, reach=reach, mirror=mirror).equal(nearest)
        monkeypatch.setattr(on, "ENERGY", 0.995)


def test_turning_back_undoes_a_turn() -> None:
    rings, angle = rings_of(padded(10)), angles(10)
    step = 2 * math.pi / on.ANGLES
    angle = (angle / step).round() * step  # whole steps need no interpolation
    for mirrored in (torch.zeros(10, dtype=torch.bool), torch.ones(10, dtype=torch.bool)):
        there = turned(rings, angle, mirrored)
        back = turned(there, torch.where(mirrored, angle, -angle), mirrored)
        assert back.allclose(rings, atol=1e-5)


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
    images = upright(40).expand(-1, channels, -1, -1)
    rings = rings_of(torch.cat([images, CHANGES[change](images)]), "so2")
    index = invariant_graph(rings, 1, reach=0.0).index[:, 0]
    twin = torch.arange(80).roll(40)
    assert (index == twin).float().mean() > 0.9


def test_neighbours_do_not_depend_on_how_images_are_chunked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rings = rings_of(upright(60))
    whole = invariant_graph(rings, 5)
    monkeypatch.setattr(tangent, "CHUNK_NUMBERS", 1)
    parts = invariant_graph(rings, 5)
    assert whole.index.equal(parts.index)
    assert whole.distance.allclose(parts.distance, atol=1e-4)


def test_blank_images_have_finite_distances() -> None:
    rings = rings_of(torch.cat([torch.zeros(4, 1, 28, 28), upright(8)]))
    for by in ("tangent", "euclidean"):
        graph = invariant_graph(rings, 3, by=by)
        assert graph.distance.isfinite().all() and graph.turn.angle.isfinite().all()


def test_neighbours_share_a_label_more_often_than_those_by_pixels() -> None:
    sample = digits(600)
    images, labels = to_float(sample.pixels), sample.labels
    assert labels is not None
    pixels = torch.cdist(images.flatten(1), images.flatten(1)).fill_diagonal_(torch.inf)
    by_pixel = pixels.topk(10, largest=False).indices
    by_graph = invariant_graph(rings_of(images), 10, reach=math.radians(12)).index
    same = [(labels[each] == labels[:, None]).float().mean() for each in (by_graph, by_pixel)]
    assert same[0] > same[1] + 0.04


@pytest.mark.parametrize(
    ("neighbours", "complaint"),
    [
        (15, "10 images are too few for 15 neighbours"),
        (10, "10 images are too few for 10 neighbours"),
        (0, "There cannot be 0 neighbours"),
    ],
)
def test_numbers_of_neighbours_that_cannot_be_are_refused(neighbours: int, complaint: str) -> None:
    with pytest.raises(UserError, match=complaint):
        invariant_graph(rings_of(noise(10, 1, 16, 16)), neighbours)
