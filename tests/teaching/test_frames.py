"""Frames are learned from poses: what alike images have in common is taken off, no more."""

import math

import pytest
import torch

from mcevae.geometry.groups import get_group, mirrored
from mcevae.teaching.frames import IMAGES_EACH, frame_offsets

SUPPORT = (math.pi / 2, 0.25, 0.25, 0.3)


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
    found = frame_offsets(elements, torch.rand(3000, 1, 4, 4), cluster, group, SUPPORT[: group.dim])
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
    found = frame_offsets(elements, torch.rand(4000, 1, 4, 4), cluster, group, support)
    assert (group.to_parameters(found)[:, 3] - own[:, 3]).abs().max() < 0.03
    mended = group.to_parameters(group.compose(elements, group.inverse(found)))
    for k in range(2):
        assert mended[cluster == k, 3:].mean(0).abs().max() < 0.03


def test_content_inside_a_cluster_gets_its_frame() -> None:
    torch.manual_seed(0)
    n, group = 5 * IMAGES_EACH, get_group("se2")
    look = torch.rand(n) * 2 - 1
    content = 0.1 * torch.rand(n, 1, 4, 4)
    content[:, 0, 1, 1] += look
    turned = torch.zeros(n, 3)
    turned[:, 0] = 0.5 * look
    elements = group.compose(group.sample(n, SUPPORT[:3]), group.from_parameters(turned))
    found = frame_offsets(elements, content, torch.zeros(n).long(), group, SUPPORT[:3])
    error = degrees(found, "se2") - torch.rad2deg(turned[:, 0])
    assert error.square().mean().sqrt() < 3  # the offsets themselves: 16.5


def test_a_whole_circle_has_no_middle() -> None:
    group = get_group("so2")
    elements = group.sample(100, (math.pi,))
    found = frame_offsets(
        elements, torch.rand(100, 1, 4, 4), torch.zeros(100).long(), group, (math.pi,)
    )
    assert found.allclose(group.identity(100))
