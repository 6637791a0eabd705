"""Rings reach as far as images show something."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from mcevae.geometry.groups import get_group
from mcevae.images.arrays import to_bytes
from mcevae.images.loading import load
from mcevae.teaching.extent import LEAST, extent_of
from mcevae.teaching.graph import describe, describe_pixels
from mcevae.teaching.rings import turns

GROUPS = {name: get_group(name) for name in ("so2", "se2", "sim2")}


def digits(room: int, count: int = 60) -> Tensor:
    """Digits with some pixels of black around them, as bytes."""
    return F.pad(load("mnist-mini").train.pixels[:count], (room,) * 4)


@pytest.mark.parametrize("group", ["so2", "se2"])
def test_extent_shrinks_as_the_frame_grows(group: str) -> None:
    tight, loose = (extent_of(digits(room), GROUPS[group], 0.0) for room in (8, 36))
    assert tight * 44 == pytest.approx(loose * 100, rel=0.08) and 0.5 < tight < 0.8


def test_extent_counts_from_the_size_that_moments_give() -> None:
    tight, loose = (extent_of(digits(room), GROUPS["sim2"], 0.0) for room in (8, 36))
    assert loose == pytest.approx(tight, rel=0.08)


def test_what_fills_the_frame_needs_all_of_it() -> None:
    noise = torch.rand(40, 3, 20, 30, generator=torch.Generator().manual_seed(0))
    assert extent_of(to_bytes(noise), GROUPS["se2"], 0.5) == 1.0
    assert extent_of(digits(0), GROUPS["so2"], 0.0) == 1.0  # digits fill nearly all of 28 pixels
    blank = torch.zeros(480, 1, 44, 44, dtype=torch.uint8)
    some = torch.cat([digits(8, 20), blank])[torch.randperm(500)]
    assert extent_of(some, GROUPS["se2"], 0.0) > 0.5
    assert extent_of(torch.zeros(5, 1, 9, 9, dtype=torch.uint8), GROUPS["se2"], 0.0) == LEAST


def test_rings_of_small_things_are_as_fine_as_those_of_large_ones() -> None:
    """With rings over the whole of the large frame, they hardly resemble each other."""
    group, large = GROUPS["se2"], digits(36)
    tight, loose = (describe_pixels(x, group, 0.0) for x in (digits(8), large))
    whole = describe([large.float() / 255], group, 0.0)
    same = [float(turns(tight.rings, x.rings, 0.1, False).likeness.mean()) for x in (loose, whole)]
    assert same[0] > 0.98 and same[1] < 0.9
