"""Moments of images: where the content lies, how large it is, whether it is all there."""

import math

import pytest
import torch
from torch.testing import assert_close

from mcevae.geometry.groups import get_group
from mcevae.geometry.moments import (
    RADIUS,
    centroid,
    completed,
    moments,
    noise_level,
    radius,
    whole,
)
from mcevae.geometry.warp import warp
from mcevae.images.arrays import to_float
from mcevae.images.splits import Splits


def test_centroid_of_a_dot() -> None:
    images = torch.zeros(2, 3, 10, 20)
    images[0, :, 2, 14] = 7.0  # the second image stays black
    assert_close(centroid(images), torch.tensor([[4.5 / 20, -2.5 / 20], [0.0, 0.0]]))


def test_radius_of_two_dots_and_of_nothing() -> None:
    images = torch.zeros(2, 1, 20, 20)
    images[0, 0, 5, 3] = images[0, 0, 5, 11] = 0.5
    assert_close(radius(images), torch.tensor([4 / 20, RADIUS]))


@pytest.mark.parametrize("name", ["so2", "se2", "sim2", "aff2"])
def test_moments_follow_the_motion(name: str, small_data: Splits) -> None:
    group = get_group(name)
    assert small_data.train.upright is not None
    x = to_float(small_data.train.upright[:20])
    p = torch.tensor([0.5, 0.03, -0.02, -0.2, 0.0, 0.0])[: group.dim]
    moved = warp(x, group.from_parameters(p.expand(20, -1)))
    before, after = moments(x, group), moments(moved, group)
    assert before.shape == after.shape == (20, group.dim - 1)
    if group.dim > 3:
        assert_close(after[:, 2] - before[:, 2], p[3].expand(20), atol=0.02, rtol=0)
    if group.dim > 1:
        turn = math.cos(0.5), math.sin(0.5)
        scale = math.exp(-0.2) if group.dim > 3 else 1.0
        x0, y0 = before[:, 0] * scale, before[:, 1] * scale
        expected = [turn[0] * x0 - turn[1] * y0 + p[1], turn[1] * x0 + turn[0] * y0 + p[2]]
        assert_close(after[:, :2], torch.stack(expected, -1), atol=0.01, rtol=0)


def test_whole_images_do_not_touch_their_border() -> None:
    x = torch.zeros(2, 1, 10, 10)
    x[0, 0, 5, 5] = x[1, 0, 0, 5] = 1
    assert whole(x).tolist() == [True, False]


@pytest.mark.parametrize("mirror", [False, True])
@pytest.mark.parametrize("name", ["se2", "aff2"])
def test_what_the_frame_cuts_off_counts_where_a_model_draws_it(
    name: str, mirror: bool, small_data: Splits
) -> None:
    torch.manual_seed(0)
    group = get_group(name, mirror=mirror)
    canonical = to_float(small_data.train.images.pixels[:20])
    canonical = warp(
        canonical,
        get_group("se2").from_parameters(torch.cat([torch.zeros(20, 1), -centroid(canonical)], 1)),
    )
    pose = group.sample(20, (1.5, 0.3, 0.3, 0.2, 0.1, 0.1)[: group.dim])
    x = warp(canonical, pose)
    unseen = canonical * (1 - warp(torch.ones_like(canonical), group.inverse(pose)))
    truth = pose[:, :2, 2]
    off = torch.linalg.vector_norm(completed(x, unseen, pose) - truth, dim=1)
    alone = torch.linalg.vector_norm(centroid(x) - truth, dim=1)
    cut = ~whole(x)
    assert cut.sum() > 5
    assert alone[cut].mean() > 0.01  # image sides
    assert off.max() < 0.004


def test_noise_is_what_most_outermost_pixels_leave() -> None:
    torch.manual_seed(0)
    left = (0.1 * torch.randn(3, 2, 40, 40)).abs()
    left[1, :, 10:14] = left[1, :, 0, 5:10] = 1  # what is not drawn does not count
    assert ((noise_level(left) - 0.345).abs() < 0.05).all()
    assert noise_level(torch.zeros(2, 1, 8, 8)).eq(0).all()
