"""Which angles lie in a support."""

import math

import pytest
import torch

from mcevae.geometry.groups import within, wrapped


@pytest.mark.parametrize("rotations", [8, 36, 72])
def test_a_support_has_as_many_rotations_on_either_side(rotations: int) -> None:
    """Also where its edge falls between two rotations, whose rounding must not decide."""
    step = 2 * math.pi / rotations
    angles = wrapped(torch.arange(rotations) * step)
    for half_degrees in range(341):
        inside = within(angles, math.radians(half_degrees / 2), step)
        assert inside[0]
        assert inside[1:].equal(inside[1:].flip(0))  # rotation r and its mirror image R - r


def test_a_nearly_whole_circle_is_one() -> None:
    angles = wrapped(torch.arange(36) * math.radians(10))
    assert within(angles, math.radians(175), math.radians(10)).all()
