"""Class averages: they find kinds and poses that noise hides in each single image."""

import math

import pytest
import torch
from torch import Tensor

from mcevae.geometry.groups import SE2, mirrored
from mcevae.geometry.groups.reflected import Reflected
from mcevae.geometry.warp import warp
from mcevae.images.arrays import to_float
from mcevae.images.loading import load
from mcevae.teaching.averages import (
    Averages,
    ClassAverages,
    mostly_noise,
    noise_variance,
    pooled,
)
from mcevae.teaching.graph import describe
from mcevae.teaching.noisy import noisy_start

SIDE = 20


def pictures() -> Tensor:
    """Three pictures of round spots that differ from their mirror images, (3, 1, 20, 20)."""
    y, x = torch.meshgrid(*2 * [torch.arange(SIDE) - (SIDE - 1) / 2], indexing="ij")
    spots = [
        [(-5, 0), (0, 0), (4, 0), (4, 4)],
        [(-4, -4), (4, -4), (0, 5), (5, 1)],
        [(0, 0), (0, 5), (5, -5), (-1, -5)],
    ]
    drawn = [
        sum(torch.exp(-((x - a) ** 2 + (y - b) ** 2) / 4) for a, b in places) for places in spots
    ]
    return torch.stack([torch.as_tensor(each) for each in drawn])[:, None]


def particles(count: int, noise: float, *, turn: float = math.pi, mirror: bool = False):
    """Images of the three pictures in known poses, with white noise; labels and poses."""
    torch.manual_seed(0)
    group = Reflected(SE2()) if mirror else SE2()
    label = torch.arange(count) % 3
    element = group.sample(count, (turn, 0.05, 0.05))
    clean = warp(pictures()[label], element)
    return clean + noise * torch.randn_like(clean), label, element


def right(found: Tensor, label: Tensor) -> float:
    """Share of images in the cluster of their kind, each cluster named by its majority."""
    table = torch.zeros(int(found.max()) + 1, 3)
    table.index_put_((found, label), torch.ones(len(label)), accumulate=True)
    return (table.amax(1).sum() / len(label)).item()


@pytest.mark.parametrize("deviation", [0.05, 1.0])
def test_white_noise_is_measured_also_after_pixels_are_averaged(deviation: float) -> None:
    torch.manual_seed(0)
    noise = deviation * torch.randn(50, 2, 96, 96)
    assert noise_variance(noise) == pytest.approx(deviation**2, rel=0.03)
    small = pooled(noise)
    assert small.shape[2:] == (32, 32)
    assert noise_variance(small) == pytest.approx(deviation**2 / 9, rel=0.03)


def test_only_images_that_noise_hides_count_as_noise() -> None:
    digits = to_float(load("mnist-mini").train.pixels[:200])
    assert not mostly_noise(digits)
    torch.manual_seed(0)
    assert not mostly_noise(digits + 0.1 * torch.randn_like(digits))
    assert mostly_noise(digits + torch.randn_like(digits))


def test_pieces_are_joined_in_the_pose_that_brings_them_together() -> None:
    torch.manual_seed(0)
    turns = SE2().from_parameters(torch.tensor([[0.0, 0, 0], [math.pi / 2, 0, 0]]).repeat(3, 1))
    pieces = warp(pictures().repeat_interleave(2, 0), turns)
    fit = ClassAverages(pieces + 0.01 * torch.randn_like(pieces), half_width=4.0, reach=0.0)
    joined = fit.joined(Averages(pictures=pieces, shares=torch.full((6,), 1 / 6)), 3)
    assert joined.shares == pytest.approx(torch.full((3,), 1 / 3))
    # Each is a piece and its turned copy, so it is as strong as one of them.
    assert joined.pictures.square().sum((1, 2, 3)) == pytest.approx(
        pictures().square().sum((1, 2, 3)), rel=0.05
    )


# At 0.7, with signs, it holds or fails by a hair, depending on the number of threads.
@pytest.mark.parametrize(("mirror", "noise"), [(False, 0.7), (True, 0.6)])
def test_kinds_and_poses_are_found_in_noise(mirror: bool, noise: float) -> None:
    images, label, element = particles(900, noise, mirror=mirror)
    assert mostly_noise(images)
    known = describe([images], SE2(), 0.0)
    k, placed = noisy_start(
        images, known.rings, known.rest, 3, half_width=4.0, reach=0.1, mirror=mirror
    )
    assert k == 3
    assert right(placed.cluster, label) > 0.9
    found = SE2().from_parameters(torch.cat([placed.angle[:, None], placed.shift], 1))
    for kind in range(3):
        own = (label == kind) & (placed.cluster == placed.cluster[label == kind].mode().values)
        sign = mirrored(element[own]) ^ placed.mirrored[own]
        most = sign.float().mean().round().bool()
        assert (sign == most).float().mean() > 0.8
        if not mirror:  # one frame: poses differ from the true ones by one turn for all
            apart = SE2().compose(SE2().inverse(found[own]), element[own])
            angle = SE2().to_parameters(apart)[:, 0]
            middle = torch.polar(torch.ones_like(angle), angle).mean().angle()
            error = (torch.remainder(angle - middle + math.pi, 2 * math.pi) - math.pi).abs()
            assert error.median() < math.radians(15)


def test_a_bounded_support_holds_all_poses() -> None:
    images, label, _ = particles(600, 0.5, turn=math.radians(60))
    known = describe([images], SE2(), 0.0)
    width = math.radians(60)
    _, placed = noisy_start(images, known.rings, known.rest, 3, half_width=width, reach=0.1)
    assert right(placed.cluster, label) > 0.9
    assert (placed.angle.abs() < width + math.radians(25)).all()


def test_shifts_wider_than_the_grid_are_found() -> None:
    torch.manual_seed(0)
    label = torch.arange(600) % 3
    element = SE2().sample(600, (math.pi, 0.2, 0.2))
    clean = warp(pictures()[label], element)
    images = clean + 0.3 * torch.randn_like(clean)
    known = describe([images], SE2(), 0.0)
    _, placed = noisy_start(images, known.rings, known.rest, 3, half_width=4.0, reach=0.2)
    true = element[:, :2, 2]
    for kind in range(3):
        own = (label == kind) & (placed.cluster == placed.cluster[label == kind].mode().values)
        # The middle of an average may lie anywhere in its frame: a turn takes it along.
        straight = SE2().from_parameters(torch.cat([placed.angle[:, None], placed.shift], 1))
        apart = SE2().compose(SE2().inverse(straight[own]), element[own])[:, :2, 2]
        assert (apart - apart.median(0).values).norm(dim=1).median() < 2 / SIDE, true[own]


def test_the_same_seed_gives_the_same_answer() -> None:
    images, _, _ = particles(300, 0.5)
    known = describe([images], SE2(), 0.0)
    one, other = (
        noisy_start(images, known.rings, known.rest, 3, half_width=4.0, reach=0.1)[1]
        for _ in range(2)
    )
    assert torch.equal(one.cluster, other.cluster) and torch.equal(one.angle, other.angle)
