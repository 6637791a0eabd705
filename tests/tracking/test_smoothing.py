"""Places and poses along a track: lines stay, outliers do not count, nothing jumps."""

import math

import numpy as np
import pytest
import torch

from mcevae.geometry.groups import SO2, MatrixGroup, get_group
from mcevae.tracking.smoothing import smooth_places, smooth_poses, unrolled

TIMES = torch.arange(30.0, dtype=torch.float64)


def turning(degrees: torch.Tensor, group: MatrixGroup) -> torch.Tensor:
    tau = torch.zeros(len(degrees), group.dim, dtype=torch.float64)
    tau[:, 0] = degrees.deg2rad()
    return group.exp(tau)


def between(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Angle between poses, degrees."""
    return get_group("sim2").to_parameters(torch.linalg.solve(a, b))[:, 0].rad2deg().abs()


@pytest.mark.parametrize("name", ["so2", "se2", "sim2", "aff2"])
def test_steady_turns_stay_as_they_are_across_half_a_turn(name: str) -> None:
    group = get_group(name)
    poses = turning(120 + 8 * TIMES, group)  # passes 180 degrees after 8 frames
    smooth, rate = smooth_poses(TIMES, poses, TIMES, 2.0, group)
    assert between(smooth, poses).max() < 1e-4
    assert torch.allclose(rate[:, 0].rad2deg(), torch.full((30,), 8.0, dtype=torch.float64))


def test_a_turned_film_gives_turned_poses_with_the_same_rates() -> None:
    torch.manual_seed(0)
    group = get_group("sim2")
    noise = 0.1 * torch.randn(30, 4, dtype=torch.float64)
    noise[:, 1:3] = 0  # no shifts
    poses = turning(5 * TIMES, group) @ group.exp(noise)
    whole = SO2().exp(torch.tensor([[2.9]], dtype=torch.float64))
    smooth, rate = smooth_poses(TIMES, poses, TIMES, 2.0, group)
    moved, same = smooth_poses(TIMES, whole @ poses, TIMES, 2.0, group)
    assert torch.allclose(moved, whole @ smooth, atol=1e-9)
    assert torch.allclose(rate, same, atol=1e-9)
    assert (
        between(smooth, turning(5 * TIMES, group)).mean()
        < between(poses, turning(5 * TIMES, group)).mean()
    )


def test_poses_upside_down_do_not_count_and_gaps_are_filled() -> None:
    group = get_group("se2")
    truth = turning(3 * TIMES, group)
    poses = truth.clone()
    poses[[7, 8, 20]] @= turning(torch.tensor([180.0], dtype=torch.float64), group)
    kept = torch.cat([torch.arange(12), torch.arange(17, 30)])
    smooth, rate = smooth_poses(TIMES[kept], poses[kept], TIMES, 2.0, group)
    assert between(smooth, truth).max() < 2
    assert (rate[:, 0].rad2deg() - 3).abs().max() < 0.5


def test_one_find_alone_stays_where_it_is() -> None:
    group = get_group("se2")
    pose, place = turning(TIMES[5:6] * 30, group), torch.tensor([[3.0, 4.0]]).double()
    smooth, rate = smooth_poses(TIMES[:1], pose, TIMES[:1], 2.0, group)
    assert between(smooth, pose).max() < 1e-4 and rate.abs().max() < 1e-6
    level, velocity = smooth_places(TIMES[:1], place, TIMES[:1], 2.0, 3.0)
    assert torch.allclose(level, place) and velocity.abs().max() < 1e-6


def test_places_on_a_line_stay_and_far_ones_do_not_count() -> None:
    truth = torch.stack([2 * TIMES, 50 - TIMES], 1)
    places = truth.clone()
    places[11] += 40
    level, velocity = smooth_places(TIMES, places, TIMES, 2.0, 2.8)
    assert (level - truth).norm(dim=1).max() < 0.5
    assert (velocity - torch.tensor([2.0, -1.0])).abs().max() < 0.3


def test_symmetric_things_turn_on_where_their_poses_leap_back() -> None:
    group = get_group("se2")
    truth = turning(7 * TIMES, group)
    leap = (7 * TIMES / 180).round() * 180
    poses = turning(7 * TIMES - leap, group)
    assert np.abs(np.diff(group.to_parameters(poses)[:, 0].numpy())).max() > math.radians(90)
    assert between(unrolled(poses, 2, group), truth).max() < 1e-4
    assert torch.equal(unrolled(poses, 1, group), poses)
