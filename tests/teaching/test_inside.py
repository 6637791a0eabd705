"""Things that look alike upside down are told apart by the support."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from mcevae.geometry.groups import WHOLE_CIRCLE, get_group, wrapped
from mcevae.geometry.warp import warp
from mcevae.images.arrays import NO_HINT, Hints
from mcevae.teaching.graph import describe
from mcevae.teaching.inside import MOST, TOLERANCE, compared, put_inside
from mcevae.teaching.rings import turned_back
from mcevae.teaching.upright import Oriented
from tests.teaching.test_graph import digits

HALF_WIDTH = math.pi / 2


def sixes_and_nines() -> tuple[Tensor, Tensor, Tensor]:
    """Rings of digits turned within 90 degrees, their kinds (0 and 1) and angles."""
    sample = digits(300, (6, 9))
    assert sample.labels is not None
    images = F.pad(sample.pixels.float() / 255, (7,) * 4)
    generator = torch.Generator().manual_seed(0)
    angle = (2 * torch.rand(len(images), generator=generator) - 1) * HALF_WIDTH
    moves = get_group("se2").from_parameters(F.pad(angle[:, None], (0, 2)))
    rings = describe([warp(images, moves)], get_group("se2"), 0.0).rings
    return rings, (sample.labels == 9).long(), angle


def swapped(labels: Tensor, angle: Tensor, each: int) -> tuple[Tensor, Oriented, Tensor]:
    """Put every so-many-th image upside down into the other cluster."""
    wrong = torch.arange(len(labels)) % each == 0
    turned = wrapped(torch.where(wrong, angle + math.pi, angle))
    some = torch.zeros(len(labels), dtype=torch.bool)
    nothing = torch.ones(2, dtype=torch.long)
    oriented = Oriented(angle=turned, mirrored=some, order=nothing, consistency=nothing.float())
    return torch.where(wrong, 1 - labels, labels), oriented, wrong


def test_images_upside_down_go_to_the_cluster_in_which_they_stand() -> None:
    rings, kinds, angle = sixes_and_nines()
    labels, oriented, wrong = swapped(kinds, angle, 8)
    told = wrong & (oriented.angle.abs() > HALF_WIDTH + TOLERANCE)
    found, placed = put_inside(rings, labels, oriented, HALF_WIDTH)
    assert (found[told] == kinds[told]).float().mean() > 0.9
    assert found[~wrong].equal(labels[~wrong])
    right = told & (found == kinds)
    off = wrapped(placed.angle - angle)[right].abs()
    assert off.median() < math.radians(15)
    assert placed.angle.abs().max() <= HALF_WIDTH + TOLERANCE


def test_clusters_stay_over_the_whole_circle_or_if_the_support_is_wrong() -> None:
    rings, kinds, angle = sixes_and_nines()
    labels, oriented, _ = swapped(kinds, angle, 8)
    assert put_inside(rings, labels, oriented, WHOLE_CIRCLE + 0.1) == (labels, oriented)
    outside = (oriented.angle.abs() > 0.3 + TOLERANCE).float().mean()
    assert outside > MOST
    assert put_inside(rings, labels, oriented, 0.3) == (labels, oriented)


def test_images_with_a_hint_stay() -> None:
    rings, kinds, angle = sixes_and_nines()
    labels, oriented, wrong = swapped(kinds, angle, 8)
    said = Hints(names=("a", "b"), of=torch.where(wrong, labels, NO_HINT), apart=())
    found, _ = put_inside(rings, labels, oriented, HALF_WIDTH, said)
    assert found.equal(labels)


@pytest.mark.parametrize("half_width", [HALF_WIDTH, math.pi])
def test_an_image_is_compared_inside_the_support_alone(half_width: float) -> None:
    rings, kinds, angle = sixes_and_nines()
    nothing = torch.zeros(100, dtype=torch.bool)
    upright = turned_back(rings[:100], angle[:100], nothing)
    _, found, mirrored = compared(rings[100:], upright, kinds[:100], half_width, mirror=False)
    assert found.abs().max() <= half_width + 0.1 and not mirrored.any()
    if half_width == math.pi:  # a six is like a nine upside down
        assert (found.abs() > HALF_WIDTH + 0.2).any()


def test_several_images_vote_and_the_nearest_of_the_winners_gives_the_pose() -> None:
    """An image that is known with a wrong cluster is outvoted by others like it."""
    rings, kinds, angle = sixes_and_nines()
    upright = turned_back(rings, angle, torch.zeros(len(rings), dtype=torch.bool))
    labels = kinds.clone()
    labels[::8] = 1 - kinds[::8]
    found, turn, _ = compared(rings[::8], upright, labels, HALF_WIDTH, mirror=False)
    assert (found == kinds[::8]).float().mean() > 0.8
    assert (turn - angle[::8]).abs().median() < math.radians(15)
