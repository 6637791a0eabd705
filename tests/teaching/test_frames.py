"""Frames are learned from poses: what alike images have in common is taken off, no more."""

import math

import pytest
import torch

from mcevae.geometry.groups import get_group, mirrored
from mcevae.geometry.warp import warp
from mcevae.teaching.frames import frame_offsets
from mcevae.teaching.middle import middle

SUPPORT = (math.pi / 2, 0.25, 0.25, 0.3)


def bars(slant: torch.Tensor) -> torch.Tensor:
    """A short and a long bar at an angle that differs: images (N, 1, 20, 20) of one kind."""
    x = (torch.arange(20) + 0.5) / 20 - 0.5
    long = ((x.abs() < 0.4)[None] & (x.abs() < 0.07)[:, None]).float().expand(len(slant), 1, 20, 20)
    short = ((x < 0.3) & (x > 0))[None] & (x.abs() < 0.07)[:, None]
    turn = get_group("so2").from_parameters(math.pi / 2 + slant[:, None])
    return torch.maximum(long, warp(short.float()[None, None], turn))


BARS = bars(torch.zeros(4000))


def degrees(elements: torch.Tensor, name: str) -> torch.Tensor:
    return torch.rad2deg(get_group(name).to_parameters(elements)[:, 0])


every_sign = pytest.mark.parametrize("mirror", [False, True], ids=["plain", "mirror"])


@every_sign
@pytest.mark.parametrize("name", ["so2", "se2", "sim2"])
def test_each_cluster_gets_its_frame(name: str, mirror: bool) -> None:
    torch.manual_seed(0)
    group = get_group(name, mirror=mirror)
    cluster = torch.arange(3000) % 3
    turned = torch.zeros(3000, group.dim)
    turned[:, 0] = torch.tensor([0.5, 0.0, -0.3])[cluster]
    elements = group.compose(
        group.sample(3000, SUPPORT[: group.dim]), group.from_parameters(turned)
    )
    found = frame_offsets(elements, BARS[:3000], cluster, group, SUPPORT[: group.dim])
    expected = torch.rad2deg(turned[:, 0])
    assert (degrees(found, name) - expected).abs().max() < 6  # standard deviation 52 / sqrt(1000)
    shifts = group.to_parameters(found)[:, 1:3]
    assert shifts.abs().sum() == 0
    assert not mirrored(found).any()


@every_sign
@pytest.mark.parametrize("name", ["sim2", "aff2"])
def test_scale_and_strain_are_brought_into_one_frame_too(name: str, mirror: bool) -> None:
    torch.manual_seed(0)
    group = get_group(name, mirror=mirror)
    support = (*SUPPORT, 0.2, 0.2)[: group.dim]
    cluster = torch.arange(4000) % 2
    own = torch.zeros(4000, group.dim)
    own[:, 3:] = torch.tensor([0.15, -0.1])[cluster, None]
    elements = group.compose(group.sample(4000, support), group.from_parameters(own))
    found = frame_offsets(elements, BARS[:4000], cluster, group, support)
    assert (group.to_parameters(found)[:, 3] - own[:, 3]).abs().max() < 0.03
    mended = group.to_parameters(group.compose(elements, group.inverse(found)))
    for k in range(2):
        assert mended[cluster == k, 3:].mean(0).abs().max() < 0.03


@every_sign
def test_content_inside_a_cluster_gets_its_frame(mirror: bool) -> None:
    """Frames lie along the long bar; but poses are those of the short one."""
    torch.manual_seed(0)
    n, group = 4000, get_group("se2", mirror=mirror)
    slant = torch.rand(n) * 0.8 - 0.4
    turned = torch.zeros(n, 3)
    turned[:, 0] = slant / 2
    elements = group.compose(group.sample(n, SUPPORT[:3]), group.from_parameters(turned))
    cluster = torch.zeros(n).long()
    found = frame_offsets(elements, bars(slant), cluster, group, SUPPORT[:3])
    error = degrees(found, "se2") - torch.rad2deg(turned[:, 0])
    assert error.square().mean().sqrt() < 2  # the offsets themselves: 6.6


def test_poses_that_the_support_cuts_off_do_not_move_frames() -> None:
    """What lies beyond the end is left turned; its content must not be taken for a kind."""
    torch.manual_seed(0)
    n, group = 4000, get_group("so2")
    true = group.sample(n, SUPPORT[:1])
    parameters = group.to_parameters(true) + 0.15 * torch.randn(
        n, 1
    )  # as an image lies in its frame
    poses = group.from_parameters(parameters)
    found = group.from_parameters(parameters.clamp(-SUPPORT[0], SUPPORT[0]))
    content = warp(warp(bars(torch.rand(n) * 0.8 - 0.4), poses), group.inverse(found))
    given = found, content, torch.zeros(n).long(), group, SUPPORT[:1]
    found = degrees(frame_offsets(*given), "so2")
    assert found.square().mean().sqrt() < 1


@pytest.mark.parametrize("slant", [0.0, 0.4])
def test_what_the_pixel_grid_does_to_a_turned_image_does_not_move_its_frame(slant: float) -> None:
    """A component for it would tell the pose itself."""
    torch.manual_seed(0)
    group = get_group("so2")
    poses = group.sample(2000, SUPPORT[:1])
    content = warp(warp(bars(slant * (2 * torch.rand(2000) - 1)), poses), group.inverse(poses))
    found = frame_offsets(poses, content, torch.zeros(2000).long(), group, SUPPORT[:1])
    assert degrees(found, "so2").abs().max() < 3


def test_images_without_a_cluster_stay_as_they_are() -> None:
    torch.manual_seed(0)
    group = get_group("se2")
    elements = group.sample(400, (1.0, 0.1, 0.1))
    cluster = torch.arange(400) % 2 - 1
    found = frame_offsets(elements, bars(torch.zeros(400)), cluster, group, SUPPORT[:3])
    assert found[cluster < 0].allclose(group.identity(200))
    assert not found[cluster == 0].allclose(group.identity(200), atol=1e-3)


@pytest.mark.parametrize("spread", ["even", "normal", "narrow"])
def test_the_middle_is_found_whether_or_not_poses_fill_the_support(spread: str) -> None:
    torch.manual_seed(0)
    look, kinds = torch.randn(3000, 1), torch.ones(3000, 1)
    about = {"even": torch.rand(3000) * 3 - 1.5, "normal": 0.2 * torch.randn(3000)}
    values = about.get(spread, 0.01 * torch.randn(3000)) + 0.1 * look[:, 0] + 0.3
    found = middle(kinds, look, values, 1.5)
    assert (found - 0.1 * look[:, 0] - 0.3).abs().max() < (0.06 if spread == "even" else 0.04)


def test_a_whole_circle_has_no_middle() -> None:
    group = get_group("so2")
    elements = group.sample(100, (math.pi,))
    found = frame_offsets(elements, BARS[:100], torch.zeros(100).long(), group, (math.pi,))
    assert found.allclose(group.identity(100))


def test_values_that_are_all_the_same_are_their_own_middle() -> None:
    found = middle(torch.ones(500, 1), torch.randn(500, 2), torch.full((500,), 0.4), 1.5)
    assert (found - 0.4).abs().max() < 0.01


def test_what_the_support_does_not_allow_has_no_frame() -> None:
    group = get_group("se2")
    elements = group.sample(100, (0.0, 0.1, 0.1))
    found = frame_offsets(elements, BARS[:100], torch.zeros(100).long(), group, (0.0, 0.1, 0.1))
    assert found.allclose(group.identity(100))
