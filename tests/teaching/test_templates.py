"""Poses found by templates: right up to a common frame, in the support, the same for a seed."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.testing import assert_close

from mcevae.geometry.groups import MatrixGroup, get_group
from mcevae.geometry.moments import centroid
from mcevae.geometry.warp import warp
from mcevae.images.arrays import to_bytes
from mcevae.teaching.templates import Start, start_poses

ANGLES = 24
GROUPS = pytest.mark.parametrize("name", ["so2", "se2"])


def shapes(side: int = 20) -> Tensor:
    """Three strokes that no rotation brings back to themselves, (3, 1, side, side), 0 or 1."""
    drawn = torch.zeros(3, 20, 20)
    drawn[0, 4:16, 7:9] = drawn[0, 14:16, 7:14] = 1  # an L
    drawn[1, 4:16, 9:11] = drawn[1, 4:6, 9:15] = drawn[1, 9:11, 9:13] = 1  # an F
    drawn[2, 5:8, 5:15] = drawn[2, 8:15, 12:14] = drawn[2, 13:15, 9:12] = 1  # a hook
    return F.interpolate(drawn[:, None], size=(side, side), mode="bilinear")


def posed(
    group: MatrixGroup, count: int = 300, rotation_deg: float = 90.0, side: int = 20
) -> tuple[Tensor, Tensor, tuple[float, ...], Tensor]:
    """Pixels, the elements that moved them, the support of these, and which shape each shows."""
    generator = torch.Generator().manual_seed(0)
    support = group.support(rotation_deg=rotation_deg, shift=0.1)
    elements = group.sample(count, support, generator=generator)
    labels = torch.randint(3, (count,), generator=generator)
    jitter = torch.tensor([0.06, 0.02, 0.02, 0.05, 0.05, 0.05])
    wobble = get_group("aff2").exp(jitter * torch.randn(count, 6, generator=generator))
    noise = 0.05 * torch.rand(count, 1, side, side, generator=generator)
    moved = warp(shapes(side)[labels], elements @ wobble)
    return to_bytes(moved + noise), elements, support, labels


def angle(elements: Tensor) -> Tensor:
    return torch.atan2(elements[:, 1, 0], elements[:, 0, 0])


def errors_deg(found: Tensor, true: Tensor) -> Tensor:
    """Degrees by which angles differ, once the frame of the most is taken off."""
    off = angle(found) - angle(true)
    frames = torch.linspace(0, 2 * math.pi, 361)
    apart = torch.remainder(off[:, None] - frames + math.pi, 2 * math.pi) - math.pi
    by_frame = torch.rad2deg(apart.abs())
    return by_frame[:, by_frame.median(0).values.argmin()]


def find(pixels: Tensor, group: MatrixGroup, support: tuple[float, ...], seed: int = 0) -> Start:
    return start_poses(pixels, group, support, templates=16, angles=ANGLES, seed=seed)


@GROUPS
def test_rotations_are_found_in_one_common_frame(name: str) -> None:
    group = get_group(name)
    pixels, elements, support, _ = posed(group)
    start = find(pixels, group, support)
    errors = errors_deg(start.elements, elements)
    assert errors.median() < 12
    assert (errors > 90).float().mean() < 0.05
    assert start.confidence.min() > 0 and start.confidence.max() <= 1
    assert start.templates.shape == (16, 1, 20, 20)
    rebuilt = group.from_parameters(group.to_parameters(start.elements))
    assert_close(rebuilt, start.elements)  # so2 has no shifts


def test_shift_is_the_centroid() -> None:
    group = get_group("se2")
    pixels, _, support, _ = posed(group, count=60)
    start = find(pixels, group, support)
    assert_close(start.elements[:, :2, 2], centroid(pixels.float()))


@pytest.mark.parametrize("rotation_deg", [0.0, 40.0, 90.0])
def test_angles_lie_in_the_support(rotation_deg: float) -> None:
    group = get_group("so2")
    pixels, _, support, _ = posed(group, count=120, rotation_deg=rotation_deg)
    furthest = angle(find(pixels, group, support).elements).abs().max()
    assert torch.rad2deg(furthest) <= rotation_deg + 360 / ANGLES


def test_nothing_is_pinned_when_all_angles_are_possible() -> None:
    """Then no angle says which way is up: only those between images of one shape are right."""
    group = get_group("so2")
    pixels, elements, support, labels = posed(group, rotation_deg=180.0)
    start = find(pixels, group, support)
    for shape in range(3):
        of = labels == shape
        assert errors_deg(start.elements[of], elements[of]).median() < 25
    assert angle(start.elements).abs().max() > math.radians(150)


def test_a_seed_repeats_itself_and_others_differ() -> None:
    group = get_group("se2")
    pixels, _, support, _ = posed(group, count=120)
    first, again, other = (find(pixels, group, support, seed=seed) for seed in (1, 1, 2))
    assert torch.equal(first.elements, again.elements)
    assert torch.equal(first.templates, again.templates)
    assert not torch.equal(first.templates, other.templates)


def test_large_coloured_images_and_small_sets_are_welcome() -> None:
    group = get_group("se2")
    pixels, _, support, _ = posed(group, count=24, side=40)
    pixels = F.pad(pixels, (0, 9)).expand(-1, 3, -1, -1)  # 40 x 49
    steps: list[int] = []
    start = start_poses(pixels, group, support, track=lambda all: steps.extend(all) or all)
    assert start.templates.shape == (3, 1, 40, 49)  # one for every 8 images
    assert start.elements.isfinite().all() and len(steps) > 10


def test_templates_are_fitted_to_a_subset_and_all_images_posed() -> None:
    group = get_group("so2")
    pixels, elements, support, _ = posed(group)
    start = start_poses(pixels, group, support, angles=ANGLES, subset=150)
    assert len(start.templates) == 150 // 8
    assert errors_deg(start.elements, elements).median() < 12
