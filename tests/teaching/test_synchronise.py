"""Images of a cluster come into one frame, also when many edges are wrong."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from mcevae.geometry.groups import get_group, reflect
from mcevae.geometry.warp import warp
from mcevae.teaching.graph import describe, invariant_graph
from mcevae.teaching.start import invariant_start
from mcevae.teaching.synchronise import Edges, Frame, synchronise
from mcevae.teaching.upright import orient
from tests.teaching.test_graph import digits, padded

N = 60


def edges(
    angle: np.ndarray, mirrored: np.ndarray, order: int = 1, wrong: float = 0.0, seed: int = 0
) -> Edges:
    """Turns between random pairs of images with known poses, a share of them at random."""
    rng = np.random.default_rng(seed)
    i, j = rng.integers(0, len(angle), (2, 20 * len(angle)))
    flip = mirrored[i] ^ mirrored[j]
    turn = angle[j] - np.where(flip, -1, 1) * angle[i]
    turn += 2 * np.pi / order * rng.integers(0, order, len(i))
    lost = rng.random(len(i)) < wrong
    turn[lost] = rng.uniform(-np.pi, np.pi, lost.sum())
    return Edges(i=i, j=j, angle=turn, mirrored=flip, weight=np.ones(len(i)))


def error(frame: Frame, angle: np.ndarray, mirrored: np.ndarray) -> float:
    """Median difference from the truth, once the frame is aligned, radians."""
    flip = bool(frame.mirrored[0] ^ mirrored[0])
    assert ((frame.mirrored ^ flip) == mirrored).all()
    # The frame may be mirrored and turned; angles of mirrored images then turn the other way.
    change = np.where(frame.mirrored, -1, 1) * (angle - frame.angle) * frame.order
    middle = np.angle(np.exp(1j * change).mean())
    return float(np.median(np.abs(np.angle(np.exp(1j * (change - middle)))))) / frame.order


@pytest.mark.parametrize("mirror", [False, True])
@pytest.mark.parametrize("wrong", [0.0, 0.3])
def test_poses_are_exact_without_noise_and_near_with_wrong_edges(
    mirror: bool, wrong: float
) -> None:
    rng = np.random.default_rng(1)
    angle, mirrored = rng.uniform(-np.pi, np.pi, N), (rng.random(N) < 0.5) & mirror
    frame = synchronise(edges(angle, mirrored, wrong=wrong), N)
    assert error(frame, angle, mirrored) < (0.15 if wrong else 1e-6)
    assert frame.consistency == pytest.approx(1 - wrong, abs=0.1)
    assert frame.order == 1


@pytest.mark.parametrize("order", range(1, 7))
def test_orders_of_symmetry_are_found(order: int) -> None:
    angle = np.random.default_rng(2).uniform(-np.pi, np.pi, N)
    mirrored = np.zeros(N, dtype=bool)
    frame = synchronise(edges(angle, mirrored, order=order), N)
    assert frame.order == order
    assert error(frame, angle, mirrored) < 1e-6


def test_large_clusters_and_single_images_are_synchronised_too() -> None:
    angle, mirrored = np.linspace(-3, 3, 300), np.zeros(300, dtype=bool)
    assert error(synchronise(edges(angle, mirrored), 300), angle, mirrored) < 0.05
    nothing = np.empty(0)
    alone = Edges(
        i=nothing.astype(int),
        j=nothing.astype(int),
        angle=nothing,
        mirrored=nothing.astype(bool),
        weight=nothing,
    )
    frame = synchronise(alone, 1)
    assert frame.angle.tolist() == [0] and frame.order == 1


@pytest.mark.parametrize("half_width", [math.pi / 3, math.pi])
def test_turned_digits_are_told_apart_and_turned_back(half_width: float) -> None:
    sample = digits(400, (4, 7))
    images = F.pad(sample.pixels.float() / 255, (7,) * 4)
    generator = torch.Generator().manual_seed(0)
    angle = (2 * torch.rand(len(images), generator=generator) - 1) * half_width
    moved = warp(images, get_group("se2").from_parameters(F.pad(angle[:, None], (0, 2))))
    rings = describe([moved], get_group("se2"), 0.0).rings
    found = invariant_start(rings, 2, half_width, subset=300, restarts=1)
    assert sample.labels is not None
    for digit in (4, 7):
        own = sample.labels == digit
        assert (
            found.grouping.labels[own] == found.grouping.labels[own].mode().values
        ).float().mean() > 0.9
        apart = torch.polar(torch.ones(int(own.sum())), (found.angle - angle)[own])
        off = (apart / apart.mean()).angle().abs()
        assert off.median() < math.radians(15)
        if half_width < math.pi:  # the frame is the middle of the support
            assert apart.mean().angle().abs() < math.radians(15)


def test_a_long_thing_stands_with_its_heavy_end_below() -> None:
    """A pin in any direction: all of them come out with the head at the bottom."""
    y, x = torch.meshgrid(*[torch.linspace(-1, 1, 41)] * 2, indexing="ij")
    pin = ((x.abs() < 0.08) & (y.abs() < 0.6)) | (torch.hypot(x, y - 0.5) < 0.2)
    angle = torch.linspace(-3, 3, 40)
    moves = get_group("se2").from_parameters(F.pad(angle[:, None], (0, 2)))
    rings = describe([warp(pin.float()[None, None], moves)], get_group("se2"), 0.0).rings
    graph = invariant_graph(rings, 8)
    found = orient(rings, graph, torch.zeros(40, dtype=torch.long), math.pi)
    off = torch.polar(torch.ones(40), found.angle - angle).angle().abs()
    assert off.max() < math.radians(12)
    assert found.order.tolist() == [1] and found.consistency.item() > 0.95


def test_mirror_images_come_out_as_such() -> None:
    images = padded(30)[5:6]  # one chiral digit
    angle, mirrored = torch.linspace(-3, 3, 40), torch.arange(40) % 4 == 0
    moves = get_group("se2").from_parameters(F.pad(angle[:, None], (0, 2)))
    moves = reflect(moves, mirrored)
    rings = describe([warp(images, moves)], get_group("se2"), 0.0).rings
    graph = invariant_graph(rings, 8, mirror=True)
    found = orient(rings, graph, torch.zeros(40, dtype=torch.long), math.pi)
    assert found.mirrored.equal(mirrored)


@pytest.mark.parametrize("seed", range(6))
def test_nothing_is_mirrored_if_no_edge_is(seed: int) -> None:
    angle = np.random.default_rng(seed).uniform(-np.pi, np.pi, N)
    both = edges(angle, np.zeros(N, bool), seed=seed)
    apart = both.only((both.i < N // 2) == (both.j < N // 2))  # two parts that no edge connects
    frame = synchronise(apart, N, seed=seed)
    assert frame.part.max() == 1
    assert not frame.mirrored.any()
